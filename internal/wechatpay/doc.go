// Package wechatpay is the channel WeChat Pay, API v3, behind payment.Channel.
// What the channel answers and what it notifies is believed only when a key of
// the very account, chosen by its serial, verifies it and it speaks of what was
// asked. Its one invariant: no answer that is missing, unsigned or about
// something else ever counts as a yes.
package wechatpay
