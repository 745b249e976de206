package api

// DashboardStats are the figures of now and of today.
type DashboardStats struct {
	TenantCount         int64 `json:"tenantCount"`
	UserCount           int64 `json:"userCount"`
	StationCount        int64 `json:"stationCount"`
	StationTotal        int64 `json:"stationTotal"`
	ChargerCount        int64 `json:"chargerCount"`
	ChargerTotal        int64 `json:"chargerTotal"`
	ConnectorCount      int64 `json:"connectorCount"`
	OnlineChargerCount  int64 `json:"onlineChargerCount"`
	ActiveSessionCount  int64 `json:"activeSessionCount"`
	TodayOrderCount     int64 `json:"todayOrderCount"`
	TodayChargingAmount KWh   `json:"todayChargingAmount"`
	TodayRevenue        Money `json:"todayRevenue"`
	TodayGrossRevenue   Money `json:"todayGrossRevenue"`
	TodayRefund         Money `json:"todayRefund"`
	Sandbox             bool  `json:"sandbox"`
}

// ChargerStatusCounts are the enabled live chargers by status.
type ChargerStatusCounts struct {
	Total       int64 `json:"total"`
	Online      int64 `json:"online"`
	Offline     int64 `json:"offline"`
	Charging    int64 `json:"charging"`
	Idle        int64 `json:"idle"`
	Fault       int64 `json:"fault"`
	Maintenance int64 `json:"maintenance"`
	Reserved    int64 `json:"reserved"`
}

// EnergyOfDay is one day of the charging trend.
type EnergyOfDay struct {
	Date  Date `json:"date"`
	Value KWh  `json:"value"`
}

// RevenueOfDay is one day of the revenue trend.
type RevenueOfDay struct {
	Date   Date  `json:"date"`
	Value  Money `json:"value"`
	Gross  Money `json:"gross"`
	Refund Money `json:"refund"`
}

// OrderSlot counts the orders of a slot of the day.
type OrderSlot struct {
	Slot      string `json:"slot"`
	StartHour int    `json:"startHour"`
	EndHour   int    `json:"endHour"`
	Count     int64  `json:"count"`
}

// RecentOrder is an order in few words.
type RecentOrder struct {
	OrderID     int64   `json:"orderId"`
	OrderNo     string  `json:"orderNo"`
	SessionID   string  `json:"sessionId"`
	TenantID    int64   `json:"tenantId"`
	StationName string  `json:"stationName"`
	ChargerCode string  `json:"chargerCode"`
	ConnectorNo int     `json:"connectorNo"`
	UserName    *string `json:"userName"`
	Energy      KWh     `json:"energy"`
	Amount      Money   `json:"amount"`
	Status      int     `json:"status"`
	StatusName  string  `json:"statusName"`
	CreateTime  Time    `json:"createTime"`
}

// StationRank is a station of the ranking.
type StationRank struct {
	StationID   int64   `json:"stationId"`
	StationName string  `json:"stationName"`
	Orders      int64   `json:"orders"`
	Energy      KWh     `json:"energy"`
	Revenue     Money   `json:"revenue"`
	Percentage  Percent `json:"percentage"`
}

// ChargerUtilization is how busy a charger was.
type ChargerUtilization struct {
	ChargerID        int64   `json:"chargerId"`
	ChargerCode      string  `json:"chargerCode"`
	StationName      string  `json:"stationName"`
	OccupiedMinutes  int64   `json:"occupiedMinutes"`
	AvailableMinutes int64   `json:"availableMinutes"`
	Utilization      Percent `json:"utilization"`
}
