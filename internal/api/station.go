package api

// Station is a charging station. The counts are of live chargers at the moment
// of the answer.
type Station struct {
	StationID           int64    `json:"stationId"`
	TenantID            int64    `json:"tenantId"`
	TenantName          string   `json:"tenantName"`
	StationCode         string   `json:"stationCode"`
	StationName         string   `json:"stationName"`
	Address             string   `json:"address"`
	Latitude            *Degree  `json:"latitude"`
	Longitude           *Degree  `json:"longitude"`
	Status              int      `json:"status" doc:"0 disabled, 1 enabled"`
	Province            *string  `json:"province"`
	City                *string  `json:"city"`
	District            *string  `json:"district"`
	StationType         int      `json:"stationType" doc:"1 public, 2 dedicated, 3 private"`
	OperatorName        *string  `json:"operatorName"`
	OperatorPhone       *string  `json:"operatorPhone"`
	ServiceHours        *string  `json:"serviceHours"`
	Remark              *string  `json:"remark"`
	Facilities          []string `json:"facilities"`
	TimeZone            *string  `json:"timeZone" doc:"Null: the tenant's"`
	TotalChargers       int64    `json:"totalChargers"`
	AvailableChargers   int64    `json:"availableChargers"`
	ChargingChargers    int64    `json:"chargingChargers"`
	FaultChargers       int64    `json:"faultChargers"`
	OfflineChargers     int64    `json:"offlineChargers"`
	TotalConnectors     int64    `json:"totalConnectors"`
	AvailableConnectors int64    `json:"availableConnectors"`
	CreateTime          Time     `json:"createTime"`
	UpdateTime          Time     `json:"updateTime"`
	CreateBy            *int64   `json:"createBy"`
	UpdateBy            *int64   `json:"updateBy"`
	Version             int64    `json:"version"`
}

// NearbyStation is a station with its distance from the point asked.
type NearbyStation struct {
	Station
	Distance Measure `json:"distance" doc:"km"`
}

// CreateStation is the body of POST /api/station.
type CreateStation struct {
	StationCode   string   `json:"stationCode" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_.-]+$"`
	StationName   string   `json:"stationName" minLength:"1" maxLength:"100"`
	Address       string   `json:"address" minLength:"1" maxLength:"200"`
	Latitude      *Degree  `json:"latitude,omitempty" minimum:"-90" maximum:"90"`
	Longitude     *Degree  `json:"longitude,omitempty" minimum:"-180" maximum:"180"`
	Status        *int     `json:"status,omitempty" minimum:"0" maximum:"1"`
	Province      *string  `json:"province,omitempty" maxLength:"50"`
	City          *string  `json:"city,omitempty" maxLength:"50"`
	District      *string  `json:"district,omitempty" maxLength:"50"`
	StationType   *int     `json:"stationType,omitempty" minimum:"1" maximum:"3"`
	OperatorName  *string  `json:"operatorName,omitempty" maxLength:"100"`
	OperatorPhone *string  `json:"operatorPhone,omitempty" maxLength:"20"`
	ServiceHours  *string  `json:"serviceHours,omitempty" maxLength:"100"`
	Remark        *string  `json:"remark,omitempty" maxLength:"500"`
	Facilities    []string `json:"facilities,omitempty" maxItems:"20" maxLength:"30"`
	TimeZone      *string  `json:"timeZone,omitempty" maxLength:"64"`
	TenantID      *int64   `json:"tenantId,omitempty" minimum:"1"`
}

// UpdateStation is the body of PUT /api/station/{stationId}.
type UpdateStation struct {
	StationCode   *string          `json:"stationCode,omitempty" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_.-]+$"`
	StationName   *string          `json:"stationName,omitempty" minLength:"1" maxLength:"100"`
	Address       *string          `json:"address,omitempty" minLength:"1" maxLength:"200"`
	Latitude      Optional[Degree] `json:"latitude,omitzero" minimum:"-90" maximum:"90"`
	Longitude     Optional[Degree] `json:"longitude,omitzero" minimum:"-180" maximum:"180"`
	Status        *int             `json:"status,omitempty" minimum:"0" maximum:"1"`
	Province      Optional[string] `json:"province,omitzero" maxLength:"50"`
	City          Optional[string] `json:"city,omitzero" maxLength:"50"`
	District      Optional[string] `json:"district,omitzero" maxLength:"50"`
	StationType   *int             `json:"stationType,omitempty" minimum:"1" maximum:"3"`
	OperatorName  Optional[string] `json:"operatorName,omitzero" maxLength:"100"`
	OperatorPhone Optional[string] `json:"operatorPhone,omitzero" maxLength:"20"`
	ServiceHours  Optional[string] `json:"serviceHours,omitzero" maxLength:"100"`
	Remark        Optional[string] `json:"remark,omitzero" maxLength:"500"`
	Facilities    *[]string        `json:"facilities,omitempty" maxItems:"20" maxLength:"30"`
	TimeZone      Optional[string] `json:"timeZone,omitzero" maxLength:"64"`
	TenantID      *int64           `json:"tenantId,omitempty" minimum:"1" doc:"Fixed at creation"`
	Version       *int64           `json:"version,omitempty" minimum:"0"`
}

// StationStatus is the answer to PUT /api/station/{stationId}/status.
type StationStatus struct {
	StationID       int64 `json:"stationId"`
	Status          int   `json:"status"`
	RunningSessions int64 `json:"runningSessions"`
	UpdateTime      Time  `json:"updateTime"`
}
