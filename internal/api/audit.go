package api

import "encoding/json"

// AuditRow is one row of the append-only audit record.
type AuditRow struct {
	AuditID          int64           `json:"auditId"`
	OperatorTenantID int64           `json:"operatorTenantId"`
	OperatorUserID   *int64          `json:"operatorUserId"`
	OperatorUserName *string         `json:"operatorUserName"`
	KeyID            *int64          `json:"keyId"`
	TargetTenantID   *int64          `json:"targetTenantId"`
	TargetTenantName *string         `json:"targetTenantName"`
	TargetType       *string         `json:"targetType"`
	TargetID         *string         `json:"targetId"`
	Action           string          `json:"action"`
	Result           string          `json:"result" enum:"SUCCESS,FAILURE"`
	ErrorCode        *int            `json:"errorCode"`
	ErrorMessage     *string         `json:"errorMessage"`
	CrossLayer       bool            `json:"crossLayer"`
	Count            int64           `json:"count"`
	Details          json.RawMessage `json:"details"`
	TraceID          string          `json:"traceId"`
	ClientIP         *string         `json:"clientIp"`
	UserAgent        *string         `json:"userAgent"`
	OperateTime      TimeMS          `json:"operateTime"`
	Hash             string          `json:"hash"`
}

// CrossLayerCount counts the cross-layer rows of one action.
type CrossLayerCount struct {
	Action       string `json:"action"`
	Count        int64  `json:"count"`
	SuccessCount int64  `json:"successCount"`
	FailureCount int64  `json:"failureCount"`
}

// AuditVerification is the outcome of walking the hash chain.
type AuditVerification struct {
	Rows          int64  `json:"rows"`
	OK            bool   `json:"ok"`
	FirstBrokenID *int64 `json:"firstBrokenId"`
}
