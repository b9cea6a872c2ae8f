// The extension jaeger_storage with memory alone: the other storages' clients would be nine tenths of the program.
package jaegerstorage

import (
	"context"
	"fmt"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"

	"github.com/jaegertracing/jaeger/internal/storage/v1"
	memorycfg "github.com/jaegertracing/jaeger/internal/storage/v1/memory"
	"github.com/jaegertracing/jaeger/internal/storage/v2/api/tracestore"
	"github.com/jaegertracing/jaeger/internal/storage/v2/memory"
	"github.com/jaegertracing/jaeger/internal/telemetry"
)

// Config names the storages of traces.
type Config struct {
	TraceBackends map[string]TraceBackend `mapstructure:"backends"`
}

// TraceBackend is one storage: memory is the only kind in this build.
type TraceBackend struct {
	Memory *memorycfg.Configuration `mapstructure:"memory"`
}

// Extension finds a storage by its name.
type Extension interface {
	extension.Extension
	TraceStorageFactory(name string) (tracestore.Factory, bool)
}

type storageExt struct {
	config    *Config
	telset    component.TelemetrySettings
	factories map[string]tracestore.Factory
}

func newStorageExt(config *Config, telset component.TelemetrySettings) *storageExt {
	return &storageExt{config, telset, map[string]tracestore.Factory{}}
}

func (s *storageExt) Start(_ context.Context, host component.Host) error {
	for name, backend := range s.config.TraceBackends {
		factory, err := memory.NewFactory(*backend.Memory, telemetry.FromOtelComponent(s.telset, host))
		if err != nil {
			return err
		}
		s.factories[name] = factory
	}
	return nil
}

func (*storageExt) Shutdown(context.Context) error { return nil }

func (s *storageExt) TraceStorageFactory(name string) (tracestore.Factory, bool) {
	factory, ok := s.factories[name]
	return factory, ok
}

// GetTraceStoreFactory returns the storage of this name from the host's extension.
func GetTraceStoreFactory(name string, host component.Host) (tracestore.Factory, error) {
	for id, found := range host.GetExtensions() {
		if storages, ok := found.(Extension); ok && id.Type() == componentType {
			if factory, ok := storages.TraceStorageFactory(name); ok {
				return factory, nil
			}
		}
	}
	return nil, fmt.Errorf("no storage has the name %q", name)
}

// GetMetricStorageFactory returns an error: this build keeps no metrics.
func GetMetricStorageFactory(name string, _ component.Host) (storage.MetricStoreFactory, error) {
	return nil, fmt.Errorf("no storage of metrics has the name %q", name)
}
