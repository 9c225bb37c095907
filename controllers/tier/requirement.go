package tier

import (
	"fmt"

	pkiv1 "github.com/terrace-pki/terrace/api/v1alpha1"
)

// part is a sort of member that the standard speaks of: a kind, for a
// ValidationService also the network that it stands in.
type part struct {
	kind    string
	network pkiv1.Network
}

func (p part) String() string {
	if p.network != "" {
		return fmt.Sprintf("%s of network %s", p.kind, p.network)
	}
	return p.kind
}

// Parts of a tier. KeyManagementCenter (密钥管理系统), RegistrationPoint (证书注册点),
// SecuritySupport (应用安全支撑系统) and the management layer of LD/T 02.1 §8 have no kind yet.
var (
	cryptoDevice          = part{kind: "CryptoDevice"}
	industryCA            = part{kind: "IndustryCA"}
	businessCA            = part{kind: "BusinessCA"}
	registrationAuthority = part{kind: "RegistrationAuthority"}
	directory             = part{kind: "Directory"}
	validationService     = part{kind: "ValidationService"}
	businessValidation    = part{"ValidationService", pkiv1.NetworkBusiness}
	publicValidation      = part{"ValidationService", pkiv1.NetworkPublic}
)

// demand says whether a part must be there or must not.
type demand bool

const (
	needed    demand = true
	forbidden demand = false
)

// requirement is one demand of the standard; what no requirement names is free.
type requirement struct {
	part   part
	demand demand
	// clause of LD/T 02.1-2022.
	clause string
	// why in words, for the message about what must not be there.
	why string
}

// system is what the standard distinguishes: a level, for a province or a city also its mode.
type system struct {
	level pkiv1.TierLevel
	mode  pkiv1.TierMode
}

func (s system) String() string {
	if s.mode == "" {
		return string(s.level)
	}
	return fmt.Sprintf("%s in mode %s", s.level, s.mode)
}

// Why a part does not belong to a tier.
const (
	issuedAbove   = "the tier above issues all certificates"
	oneIndustryCA = "the sector has one industry CA, the ministry's"
	cityRegisters = "a city registers, the tier above issues"
)

// requirements of LD/T 02.1-2022 §7.3 to §7.5 on the kinds of this API.
var requirements = map[system][]requirement{
	{level: pkiv1.LevelMinistry}: {
		// Taken for granted by the standard: what signs (§7.3.2) has its key in a crypto device.
		{cryptoDevice, needed, "7.3.2", ""},
		{industryCA, needed, "7.3.2", ""},
		{businessCA, needed, "7.3.1", ""},
		{registrationAuthority, needed, "7.3.1", ""},
		{businessValidation, needed, "7.3.1", ""},
		// 在部级公共服务网中，建设证书查验服务系统
		{publicValidation, needed, "7.3.1", ""},
		// 证书查验服务系统包括目录服务系统和证书状态查询系统
		{directory, needed, "7.3.2", ""},
	},
	{pkiv1.LevelProvince, pkiv1.ModeRegistration}: {
		{registrationAuthority, needed, "7.4.1 a", ""},
		{validationService, needed, "7.4.1 a", ""},
		{industryCA, forbidden, "7.4.1 a", issuedAbove},
		{businessCA, forbidden, "7.4.1 a", issuedAbove},
	},
	{pkiv1.LevelProvince, pkiv1.ModeAuthority}: {
		{cryptoDevice, needed, "7.4.2 b", ""},
		{businessCA, needed, "7.4.1 b", ""},
		{registrationAuthority, needed, "7.4.1 b", ""},
		{validationService, needed, "7.4.1 b", ""},
		{industryCA, forbidden, "7.2 a", oneIndustryCA},
	},
	// 按需: its registration points, which have no kind yet, and its validation service are as it needs them.
	{pkiv1.LevelCity, pkiv1.ModeRegistration}: {
		{industryCA, forbidden, "7.2 a", oneIndustryCA},
		{businessCA, forbidden, "7.5.1 a", cityRegisters},
	},
	{pkiv1.LevelCity, pkiv1.ModeAuthority}: {
		{registrationAuthority, needed, "7.5.1 b", ""},
		{industryCA, forbidden, "7.2 a", oneIndustryCA},
		{businessCA, forbidden, "7.5.1 b", cityRegisters},
	},
}

// above says which system may stand above another one, and the clause that says so.
var above = map[system]struct {
	level  pkiv1.TierLevel
	mode   pkiv1.TierMode
	clause string
}{
	{pkiv1.LevelProvince, pkiv1.ModeRegistration}: {pkiv1.LevelMinistry, "", "7.4.1 a"},
	{pkiv1.LevelProvince, pkiv1.ModeAuthority}:    {pkiv1.LevelMinistry, "", "7.4.1 b"},
	{pkiv1.LevelCity, pkiv1.ModeRegistration}:     {pkiv1.LevelProvince, pkiv1.ModeRegistration, "7.5.1 a"},
	{pkiv1.LevelCity, pkiv1.ModeAuthority}:        {pkiv1.LevelProvince, pkiv1.ModeAuthority, "7.5.1 b"},
}
