package api

// SecondFactor is the state of the own second factor.
type SecondFactor struct {
	Enabled           bool  `json:"enabled" doc:"Sign-ins ask for it"`
	Enrolled          bool  `json:"enrolled" doc:"A secret was made and waits to be confirmed"`
	ConfirmedTime     *Time `json:"confirmedTime"`
	RecoveryCodesLeft int   `json:"recoveryCodesLeft"`
}

// EnrolTotp is the body of POST /api/auth/totp/enrol.
type EnrolTotp struct {
	Password string `json:"password" minLength:"1" maxLength:"128"`
}

// TotpEnrolment is its answer, shown once.
type TotpEnrolment struct {
	Secret string `json:"secret" doc:"For typing into an authenticator; base32"`
	URI    string `json:"uri" doc:"otpauth URI, the text of the QR code"`
}

// ConfirmTotp is the body of POST /api/auth/totp/confirm.
type ConfirmTotp struct {
	Code string `json:"code" minLength:"1" maxLength:"16"`
}

// RecoveryCodes is its answer, shown once.
type RecoveryCodes struct {
	RecoveryCodes []string `json:"recoveryCodes" doc:"Each signs in once in place of a code"`
}

// DisableTotp is the body of POST /api/auth/totp/disable.
type DisableTotp struct {
	Password string `json:"password" minLength:"1" maxLength:"128"`
	Code     string `json:"code,omitempty" doc:"Code or recovery code; needed when the second factor is confirmed" maxLength:"16"`
}
