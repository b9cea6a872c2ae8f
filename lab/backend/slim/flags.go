// Of cmd/query/app/flags.go what Jaeger v2 uses: the flags of v1 would bring every storage that v1 knows.
package app

import (
	"time"

	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/confignet"

	"github.com/jaegertracing/jaeger/internal/tenancy"
	"github.com/jaegertracing/jaeger/ports"
)

// UIConfig says where the page is.
type UIConfig struct {
	ConfigFile string `mapstructure:"config_file" valid:"optional"`
	AssetsPath string `mapstructure:"assets_path" valid:"optional"`
	LogAccess  bool   `mapstructure:"log_access" valid:"optional"`
}

// QueryOptions holds the configuration of the query service.
type QueryOptions struct {
	BasePath               string                  `mapstructure:"base_path"`
	UIConfig               UIConfig                `mapstructure:"ui"`
	BearerTokenPropagation bool                    `mapstructure:"bearer_token_propagation"`
	Tenancy                tenancy.Options         `mapstructure:"multi_tenancy"`
	MaxClockSkewAdjust     time.Duration           `mapstructure:"max_clock_skew_adjust"  valid:"optional"`
	EnableTracing          bool                    `mapstructure:"enable_tracing"`
	HTTP                   confighttp.ServerConfig `mapstructure:"http"`
	GRPC                   configgrpc.ServerConfig `mapstructure:"grpc"`
}

// DefaultQueryOptions returns what applies where nothing is configured.
func DefaultQueryOptions() QueryOptions {
	return QueryOptions{
		HTTP: confighttp.ServerConfig{Endpoint: ports.PortToHostPort(ports.QueryHTTP)},
		GRPC: configgrpc.ServerConfig{
			NetAddr: confignet.AddrConfig{Endpoint: ports.PortToHostPort(ports.QueryGRPC), Transport: confignet.TransportTypeTCP},
		},
	}
}
