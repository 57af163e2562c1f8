package extender

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

// kube-scheduler can show who it is by a client certificate and by nothing else
// (it has no way to send a token), so nothing less is accepted.
var (
	errPlain = errors.New("plain HTTP is served on the loopback interface only: " +
		"set TLS, or an address such as 127.0.0.1")
	errNoCertificate = errors.New("TLS brings no certificate: set GetCertificate, or Certificates")
	errNotMutual     = errors.New("TLS lets clients in without a certificate: " +
		"set ClientAuth to RequireAndVerifyClientCert, and ClientCAs")
)

// secured is the configuration for a listener on addr; nil for plain HTTP.
func secured(config *tls.Config, addr net.Addr) (*tls.Config, error) {
	if config == nil {
		if tcp, ok := addr.(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
			return nil, fmt.Errorf("%s: %w", addr, errPlain)
		}
		return nil, nil
	}
	choose := config.GetConfigForClient
	if choose == nil {
		return mutual(config)
	}
	config = config.Clone()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		chosen, err := choose(hello)
		if err != nil {
			return nil, err
		}
		if chosen == nil {
			chosen = config
		}
		return mutual(chosen)
	}
	return config, nil
}

// mutual returns the configuration with HTTP/2 offered, if it makes both sides
// show a certificate.
func mutual(config *tls.Config) (*tls.Config, error) {
	if config.GetCertificate == nil && len(config.Certificates) == 0 {
		return nil, errNoCertificate
	}
	if config.ClientAuth != tls.RequireAndVerifyClientCert || config.ClientCAs == nil {
		return nil, errNotMutual
	}
	config = config.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	return config, nil
}
