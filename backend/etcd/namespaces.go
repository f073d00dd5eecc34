package etcd

import (
	"context"
	"net/url"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
)

var _ backend.Lister = (*Store)(nil)

// Namespaces implements backend.Lister: a read for each, of the first key behind those of the one before.
func (s *Store) Namespaces(ctx context.Context) ([]string, error) {
	var names []string
	end := clientv3.GetPrefixRangeEnd(allNamespaces)
	for from := allNamespaces; ; {
		resp, err := s.get(ctx, "reading the namespaces", from, clientv3.WithRange(end), clientv3.WithLimit(1),
			clientv3.WithKeysOnly(),
			clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend))
		if err != nil {
			return nil, err
		}
		if len(resp.Kvs) == 0 {
			return names, nil
		}
		escaped, _, _ := strings.Cut(strings.TrimPrefix(string(resp.Kvs[0].Key), allNamespaces), "/")
		if name, err := url.PathUnescape(escaped); err == nil {
			names = append(names, name)
		}
		from = clientv3.GetPrefixRangeEnd(allNamespaces + escaped + "/")
	}
}
