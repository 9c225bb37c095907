package link

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Handle sets the handler of a method with JSON bodies. A request with a field
// that Req does not have is refused (ErrBadRequest): it may be a restriction
// that this version would overlook.
func Handle[Req, Resp any](s *Server, method string, h func(ctx context.Context, peer Peer, req Req) (Resp, error)) {
	s.Handle(method, func(ctx context.Context, peer Peer, body []byte) ([]byte, error) {
		var req Req
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&req); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrBadRequest, method, err)
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: %s: has text after its end", ErrBadRequest, method)
		}
		resp, err := h(ctx, peer, req)
		if err != nil {
			return nil, err
		}
		return json.Marshal(resp)
	})
}

// Call calls a method with JSON bodies, see Client.Call. Fields of the answer
// that Resp does not have are left out: a peer may be of a later version.
func Call[Req, Resp any](ctx context.Context, c *Client, method string, req Req) (Resp, error) {
	var resp Resp
	body, err := json.Marshal(req)
	if err != nil {
		return resp, fmt.Errorf("call %s of %s: %w", method, c.cfg.Server, err)
	}
	answer, err := c.Call(ctx, method, body)
	if err != nil {
		return resp, err
	}
	if err := json.Unmarshal(answer, &resp); err != nil {
		return resp, fmt.Errorf("call %s of %s: %w: %w", method, c.cfg.Server, ErrBadResponse, err)
	}
	return resp, nil
}
