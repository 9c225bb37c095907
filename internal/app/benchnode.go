package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/bench"
	"github.com/terrace-pki/terrace/internal/device"
	"github.com/terrace-pki/terrace/internal/replica"
	"github.com/terrace-pki/terrace/internal/responder"
	"github.com/terrace-pki/terrace/internal/store/replicastore"
)

// Validities of a bench's node.
const (
	benchResponderValidity = 30 * 24 * time.Hour
	benchResponseValidity  = 24 * time.Hour
)

// benchNode is the node of a bench, and who pushes to it.
type benchNode struct {
	*replicaServer
	sender *replica.Sender
}

// openBenchNode starts a validation node for a bench's CA in this process, with
// its key in dev and its replica in a file that stays: the same sender, store and
// server as elsewhere, without the link between them. It returns once the node
// holds what the ledger has and can sign.
func openBenchNode(ctx context.Context, stage *bench.Stage, store authority.Store, dev device.Device, path string) (_ bench.OCSPNode, closeNode func() error, err error) {
	var none bench.OCSPNode
	file, err := replicastore.Open(ctx, path)
	if err != nil {
		return none, nil, err
	}
	closeFile := func(err error) (bench.OCSPNode, func() error, error) {
		return none, nil, errors.Join(err, file.Close())
	}
	responders := responder.New(store, stage.Authorities, time.Now)
	if err := responders.Accept(ctx, responder.Spec{Namespace: bench.ServiceNamespace, Name: bench.ServiceName, BaseURL: bench.BaseURL,
		Nodes: []responder.Node{{Name: bench.NodeName, URL: "https://localhost"}}, ResponderValidity: benchResponderValidity, ResponseValidity: benchResponseValidity}); err != nil {
		return closeFile(err)
	}
	watched := watchReplica(file)
	server, err := newReplicaServer("127.0.0.1:0", watched, prometheus.NewRegistry(), logr.Discard())
	if err != nil {
		return closeFile(err)
	}
	node, err := replica.OpenNode(ctx, replica.NodeConfig{Name: bench.NodeName, Store: watched, Device: dev, OnChange: server.serve})
	if err != nil {
		return closeFile(errors.Join(err, server.listener.Close()))
	}
	server.node = node
	sender := replica.NewSender(replica.SenderConfig{Feed: stage.Authorities.Feed(), Changed: stage.Authorities.Changed, Source: responders,
		Dial: func(replica.Target) (replica.Remote, error) { return node, nil }})
	running, stop := context.WithCancel(ctx)
	g, running := errgroup.WithContext(running)
	for _, service := range []func(context.Context) error{server.run, node.Run, sender.Run,
		func(ctx context.Context) error { return stage.Authorities.WatchLedger(ctx, logr.Discard()) }} {
		g.Go(func() error { return service(running) })
	}
	closeNode = func() error {
		stop()
		return errors.Join(g.Wait(), file.Close())
	}
	if err := (&benchNode{server, sender}).await(running, stage.Authorities.Feed()); err != nil {
		return none, nil, errors.Join(err, closeNode())
	}
	signer, err := dev.Key(ctx, replica.NodeKeyLabel(bench.NodeName))
	if err != nil {
		return none, nil, errors.Join(err, closeNode())
	}
	return bench.OCSPNode{Address: server.listener.Addr().String(), Signer: signer}, closeNode, nil
}

// benchPatience is how long a node may make no progress.
const benchPatience = time.Minute

// await returns when the node is at the head of the ledger and has its certificate.
func (n *benchNode) await(ctx context.Context, feed authority.Feed) error {
	last, moved := int64(-1), time.Now()
	for {
		head, err := feed.Head(ctx)
		if err != nil {
			return fmt.Errorf("fill the node: %w", err)
		}
		state := n.node.Known()
		if state.Filled && !state.Refilling && state.Position >= head && n.certified() {
			return nil
		}
		if state.Position != last {
			last, moved = state.Position, time.Now()
		}
		if time.Since(moved) > benchPatience {
			status, _ := n.sender.Status(bench.NodeName)
			return fmt.Errorf("fill the node: stands at %d of %d, certified %t: %s", state.Position, head, n.certified(), status.LastError)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("fill the node: %w", context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// certified says whether the CA has certified the node's key.
func (n *benchNode) certified() bool {
	service, ok := n.config.Load().Find(bench.ServiceNamespace + "/" + bench.ServiceName)
	return ok && len(service.Authorities) > 0 && len(service.Authorities[0].Responder) > 0
}
