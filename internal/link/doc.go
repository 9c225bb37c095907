// Package link carries calls between the processes of Terrace: RA to CA, CA to
// validation.
//
// A call is one HTTPS POST with one signed message each way. TLS 1.3 with
// transport certificates on both sides keeps strangers and listeners out
// (package transport); the authority of a message is its SM2 signature, made
// with the sender's message key and checked against the receiver's peers file,
// which no API reaches. The encoding is described at request and response.
//
// A receiver acts on a message when
//
//   - its sender is in the peers file and is who the TLS certificate names,
//   - it is addressed to this process,
//   - its signature verifies,
//   - its time is within Tolerance of the receiver's clock,
//   - its id was not seen before, and
//   - it names this incarnation of the process, its epoch.
//
// The epoch is 128 random bits drawn at start. Ids are kept in memory; a restart
// forgets them, and a second replica never knew them, but messages for another
// epoch are refused, so neither opens a hole for replays, whatever the clocks
// say. The refusal is signed and tells the epoch; the client goes on from there,
// at the cost of one more round trip after a restart.
//
// A client repeats a call that may not have arrived, with a new id and a new
// signature and the same body. It may have been carried out before: handlers
// must make sure that the same body acts once. What a peer may ask for is up to
// the handler, by Peer.MayAct.
package link
