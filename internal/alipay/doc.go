// Package alipay is the channel Alipay: the classic gateway with RSA2 form
// messages, behind payment.Channel. What the gateway answers and what it
// notifies is believed only when a key of the very account verifies it and it
// speaks of what was asked. Its one invariant: no answer that is missing,
// unsigned or about something else ever counts as a yes or as a no.
package alipay
