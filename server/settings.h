// CT1: the settings of a system, in the form of those of a store (base/settings.h): a field of
// SystemOptions is one row here, and its place in Field() of settings.cc.
//
// Pure functions over a constant table; any thread. All errors are kConfiguration, and name the
// setting, its value, and what is allowed.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/settings.h"
#include "duramen/system.h"

namespace duramen::server {

/// All of SystemOptions but `storage`, and what is no value: network, machines, recovers,
/// observer. In the order in which they are shown.
std::span<const SettingSpec> SystemSettings();

/// Reads `text` as the value of setting `name` into `options`, which stays as it was on an error.
Status ParseSystemSetting(std::string_view name, std::string_view text, SystemOptions& options);

/// The value in `options`, as ParseSystemSetting reads it. Requires: there is such a setting.
std::string SystemSettingText(std::string_view name, const SystemOptions& options);

/// Each by its range; what holds between them is core::Validate's.
Status CheckSystemSettings(const SystemOptions& options);

}  // namespace duramen::server
