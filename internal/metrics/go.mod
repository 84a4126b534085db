module github.com/pagebeacon/beacon/internal/metrics

go 1.26.0

require go.yaml.in/yaml/v2 v2.4.4

replace (
	github.com/pagebeacon/beacon => ../..
	github.com/pagebeacon/beacon/connect/prometheus => ../../connect/prometheus
)
