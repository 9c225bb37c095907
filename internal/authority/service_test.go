package authority_test

import (
	"context"
	"errors"
	"testing"

	"github.com/terrace-pki/terrace/internal/authority"
	"github.com/terrace-pki/terrace/internal/store/sqlite"
)

func TestIssueOnceForAnIdentity(t *testing.T) {
	s, key, _ := newAuthority(t)
	first, err := s.Issue(context.Background(), key, []authority.Order{order(t, 1)})
	if err != nil || first[0].Err != nil || first[0].Adopted {
		t.Fatalf("first: %v, %+v", err, first[0])
	}
	again, err := s.Issue(context.Background(), key, []authority.Order{order(t, 1)})
	if err != nil || !again[0].Adopted || again[0].Record.Serial != first[0].Record.Serial {
		t.Errorf("the same order again: %v, adopted %t, serial %s, want %s adopted", err, again[0].Adopted, again[0].Record.Serial, first[0].Record.Serial)
	}
	other := order(t, 1)
	other.Identity.Digest[0] ^= 1
	refused, err := s.Issue(context.Background(), key, []authority.Order{other})
	if err != nil || !errors.Is(refused[0].Err, authority.ErrConflict) {
		t.Errorf("another digest: %v, %v, want ErrConflict", err, refused[0].Err)
	}
}

func TestTakenOverProcessIsTold(t *testing.T) {
	s, key, path := newAuthority(t)
	newer, err := sqlite.Open(context.Background(), sqlite.Config{Path: path, TakeOver: true})
	if err != nil {
		t.Fatal(err)
	}
	defer newer.Close()
	select {
	case <-s.Fenced():
		t.Fatal("told before it tried to write")
	default:
	}
	if _, err := s.Issue(context.Background(), key, []authority.Order{order(t, 1)}); !errors.Is(err, authority.ErrFenced) {
		t.Errorf("issue after the takeover: %v, want ErrFenced", err)
	}
	select {
	case <-s.Fenced():
	default:
		t.Error("not told that it was taken over")
	}
}
