package publishing

import "slices"

// Consumers returns the names of the directories in the feed's positions, in order.
func (s *Service) Consumers() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var names []string
	for _, t := range s.targets {
		names = append(names, t.consumer())
	}
	slices.Sort(names)
	return names
}
