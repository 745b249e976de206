package cli

// The words of statuses, for people. Each carries a symbol, so that colour is
// never needed to tell them apart.

func worded(en, zh map[string]string) func(e *env, text string) string {
	return func(e *env, text string) string {
		words := en
		if e.lang() == "zh" {
			words = zh
		}
		if word, ok := words[text]; ok {
			return word
		}
		return text
	}
}

func chargerStatus(e *env, text string) string {
	return worded(
		map[string]string{"0": "○ offline", "1": "● idle", "2": "▶ charging", "3": "✖ fault", "4": "◇ maintenance", "5": "◆ reserved"},
		map[string]string{"0": "○ 离线", "1": "● 空闲", "2": "▶ 充电中", "3": "✖ 故障", "4": "◇ 维护", "5": "◆ 预约"},
	)(e, text)
}

func enabled(e *env, text string) string {
	return worded(map[string]string{"0": "disabled", "1": "enabled"}, map[string]string{"0": "停用", "1": "启用"})(e, text)
}

func yesNo(e *env, text string) string {
	return worded(map[string]string{"true": "yes", "false": "no", "1": "yes", "0": "no"}, map[string]string{"true": "是", "false": "否", "1": "是", "0": "否"})(e, text)
}

func orderStatus(e *env, text string) string {
	return worded(
		map[string]string{"0": "charging", "1": "completed", "2": "cancelled", "10": "to pay", "11": "paid", "12": "refunding", "13": "refunded"},
		map[string]string{"0": "充电中", "1": "已完成", "2": "已取消", "10": "待支付", "11": "已支付", "12": "退款中", "13": "已退款"},
	)(e, text)
}
