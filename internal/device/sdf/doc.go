// Package sdf is the crypto device behind a library of the SDF interface
// (GB/T 36322-2018, GM/T 0018-2012): a crypto card or machine (密码卡, 密码机) of
// any maker. What distinguishes makers' headers is data here ([Form]).
//
// SDF knows keys by index alone and has no function that makes a key inside the
// device: the maker's tool makes it. So the caller says which label stands at
// which index, and a key is taken up by its public key; GenerateKey makes nothing
// and says what to do. Whether an index still holds the key that it held is for
// the ledger to say, which keeps the public key.
//
// A library is opened once in a process, and so is its device, since some
// libraries refuse a second SDF_OpenDevice. A session is used by one goroutine at a
// time. After an error of the device the session, or the device, is opened anew and
// the call repeated once. A refused password is never tried twice, because devices
// lock an index after a few wrong ones.
//
// Calls into the library cannot be interrupted. One that hangs holds its session
// for good; others wait for a free session no longer than Config.Wait.
package sdf
