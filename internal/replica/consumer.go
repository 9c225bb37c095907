package replica

// Consumers returns the names of the nodes in the feed's positions, in order.
func (s *Sender) Consumers() []string {
	var names []string
	for _, t := range s.c.Source.Targets() {
		names = append(names, consumer(t.Name))
	}
	return names
}
