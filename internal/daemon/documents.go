package daemon

import (
	"net/http"

	"github.com/evcs/evcs/internal/httpapi"
)

// withDocuments adds to the device listener the documents of what it serves.
func withDocuments(devices http.Handler, api *httpapi.Server) http.Handler {
	m := http.NewServeMux()
	m.Handle("/ocpp/", devices)
	m.Handle("/api/cloudcharge/", devices)
	m.Handle("/", api.DeviceDocuments())
	return m
}
