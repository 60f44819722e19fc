// The text form of Options: one table says how each field is read, written and checked.
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <system_error>
#include <type_traits>

#include "engine/base/keys.h"
#include "engine/base/size_text.h"
#include "engine/base/status.h"

namespace lamina {
namespace {

using std::string;
using std::string_view;

string_view Trim(string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

Status BadValue(string_view name, string_view value, const string& expected) {
  string message = "option ";
  message.append(name).append(": '").append(value).append("' is not ").append(expected);
  return Status::InvalidArgument(std::move(message));
}

// ---- Kinds of values
// -----------------------------------------------------------------------------

bool ParseDouble(string_view text, double* value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(*value);
}

string DoubleText(double value) {
  char buffer[32];
  const auto [end, error] = std::to_chars(std::begin(buffer), std::end(buffer), value);
  return error == std::errc() ? string(buffer, end) : string("0");
}

// ---- The table
// -----------------------------------------------------------------------------------

// One option. `parse` sets the field, or says what was expected; `check` says what is out of range.
struct Field {
  string_view name;
  Status (*parse)(string_view name, string_view value, Options* options);
  string (*text)(const Options& options);
  Status (*check)(string_view name, const Options& options);
};

string RangeText(uint64_t low, uint64_t high) {
  return "a size or number from " + SizeText(low) + " to " +
         (high == UINT64_MAX ? string("2^64-1") : SizeText(high));
}

// An unsigned field with its range; `kZeroToo` allows 0 below the range (it then means "none").
template <auto kMember, uint64_t kLow, uint64_t kHigh, bool kZeroToo = false>
constexpr Field Number(string_view name) {
  return {name,
          [](string_view n, string_view value, Options* options) {
            uint64_t number = 0;
            using T = std::remove_reference_t<decltype(options->*kMember)>;
            const bool in_range =
                ParseSize(value, &number) && number <= std::numeric_limits<T>::max();
            if (!in_range)
              return BadValue(n, value, (kZeroToo ? "0 or " : "") + RangeText(kLow, kHigh));
            options->*kMember = static_cast<T>(number);
            return Status::Ok();
          },
          [](const Options& options) { return SizeText(options.*kMember); },
          [](string_view n, const Options& options) {
            const uint64_t value = options.*kMember;
            if ((kZeroToo && value == 0) || (value >= kLow && value <= kHigh)) return Status::Ok();
            return BadValue(n, std::to_string(value),
                            (kZeroToo ? "0 or " : "") + RangeText(kLow, kHigh));
          }};
}

template <auto kMember>
constexpr Field Flag(string_view name) {
  return {name,
          [](string_view n, string_view value, Options* options) {
            if (value != "true" && value != "false" && value != "1" && value != "0")
              return BadValue(n, value, "true or false");
            options->*kMember = value == "true" || value == "1";
            return Status::Ok();
          },
          [](const Options& options) { return string(options.*kMember ? "true" : "false"); },
          [](string_view, const Options&) { return Status::Ok(); }};
}

// Names of an enumeration's values, in order.
template <class Enum>
constexpr std::span<const string_view> kNames{};
constexpr string_view kDurabilityNames[] = {"none", "batch"};
constexpr string_view kEvictionNames[] = {"prhd", "lru", "s3fifo"};
constexpr string_view kAdmissionNames[] = {"policy", "all", "second_use"};
constexpr string_view kEraseNames[] = {"logical", "physical"};
constexpr string_view kCompactionNames[] = {"auto", "leveling", "tiering", "lazy"};
constexpr string_view kTunerNames[] = {"off", "observe", "on"};
constexpr string_view kIoNames[] = {"auto", "uring", "threads"};
template <>
constexpr std::span<const string_view> kNames<Options::Durability> = kDurabilityNames;
template <>
constexpr std::span<const string_view> kNames<Options::Eviction> = kEvictionNames;
template <>
constexpr std::span<const string_view> kNames<Options::Admission> = kAdmissionNames;
template <>
constexpr std::span<const string_view> kNames<Options::Erase> = kEraseNames;
template <>
constexpr std::span<const string_view> kNames<Options::Compaction> = kCompactionNames;
template <>
constexpr std::span<const string_view> kNames<Options::Tuner> = kTunerNames;
template <>
constexpr std::span<const string_view> kNames<Options::Io> = kIoNames;

template <auto kMember>
constexpr Field Choice(string_view name) {
  return {name,
          [](string_view n, string_view value, Options* options) {
            using Enum = std::remove_reference_t<decltype(options->*kMember)>;
            string expected = "one of";
            for (size_t i = 0; i < kNames<Enum>.size(); ++i) {
              if (kNames<Enum>[i] == value) {
                options->*kMember = static_cast<Enum>(i);
                return Status::Ok();
              }
              expected.append(i == 0 ? " " : ", ").append(kNames<Enum>[i]);
            }
            return BadValue(n, value, expected);
          },
          [](const Options& options) {
            using Enum = std::remove_cvref_t<decltype(options.*kMember)>;
            return string(kNames<Enum>[static_cast<size_t>(options.*kMember)]);
          },
          [](string_view n, const Options& options) {
            using Enum = std::remove_cvref_t<decltype(options.*kMember)>;
            if (static_cast<size_t>(options.*kMember) < kNames<Enum>.size()) return Status::Ok();
            return BadValue(n, "this", "a value of its enumeration");
          }};
}

Status ParseLogDirs(string_view name, string_view value, Options* options) {
  options->log_dirs.clear();
  while (!value.empty()) {
    const size_t comma = value.find(',');
    const string_view directory = Trim(value.substr(0, comma));
    if (directory.empty()) return BadValue(name, value, "a list of directories separated by ','");
    options->log_dirs.emplace_back(directory);
    if (comma == string_view::npos) break;
    value.remove_prefix(comma + 1);
    if (value.empty())
      return BadValue(name, value, "a list of directories: nothing follows the last ','");
  }
  return Status::Ok();
}

string LogDirsText(const Options& options) {
  string text;
  for (const string& directory : options.log_dirs)
    text.append(text.empty() ? "" : ",").append(directory);
  return text;
}

Status CheckLogDirs(string_view name, const Options& options) {
  constexpr size_t kMostLogDirs = 64;
  if (options.log_dirs.size() > kMostLogDirs)
    return BadValue(name, LogDirsText(options), "a list of at most 64 directories");
  for (size_t i = 0; i < options.log_dirs.size(); ++i) {
    const string& directory = options.log_dirs[i];
    if (directory.empty() || directory.find_first_of(",;") != string::npos)
      return BadValue(name, directory, "a directory without ',' and ';' in its name");
    for (size_t j = 0; j < i; ++j) {
      if (options.log_dirs[j] == directory) return BadValue(name, directory, "named once only");
    }
  }
  return Status::Ok();
}

constexpr Field kLogDirs = {"log_dirs", ParseLogDirs, LogDirsText, CheckLogDirs};

constexpr Field kFilterBits = {
    "filter_bits",
    [](string_view name, string_view value, Options* options) {
      if (value == "auto") {
        options->filter_bits = -1;
        return Status::Ok();
      }
      double bits = 0;
      if (!ParseDouble(value, &bits) || bits < 0)
        return BadValue(name, value, "auto or a number from 0 to 32");
      options->filter_bits = bits;
      return Status::Ok();
    },
    [](const Options& options) {
      return options.filter_bits < 0 ? string("auto") : DoubleText(options.filter_bits);
    },
    [](string_view name, const Options& options) {
      if (!std::isnan(options.filter_bits) && options.filter_bits <= 32) return Status::Ok();
      return BadValue(name, DoubleText(options.filter_bits), "auto or a number from 0 to 32");
    }};

using O = Options;
constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kGiB = 1024 * kMiB;

constexpr Field kFields[] = {
    Flag<&O::create_if_missing>("create_if_missing"),
    Number<&O::capacity_bytes, 64 * kMiB, UINT64_MAX, true>("capacity_bytes"),
    Number<&O::min_free_bytes, 0, UINT64_MAX>("min_free_bytes"),
    Number<&O::memory_bytes, 4 * kMiB, UINT64_MAX>("memory_bytes"),
    kLogDirs,
    Choice<&O::durability>("durability"),
    Choice<&O::eviction>("eviction"),
    Choice<&O::admission>("admission"),
    Number<&O::page_tokens, 1, 1 << 20>("page_tokens"),
    Number<&O::write_bytes_per_day, 0, UINT64_MAX>("write_bytes_per_day"),
    Choice<&O::erase>("erase"),
    Number<&O::stem_pages, 1, kMaxStemPages>("stem_pages"),
    Choice<&O::compaction>("compaction"),
    Number<&O::size_ratio, 2, 64, true>("size_ratio"),
    kFilterBits,
    Choice<&O::tuner>("tuner"),
    Choice<&O::io>("io"),
    Flag<&O::require_io_uring>("require_io_uring"),
    Number<&O::io_depth, 1, 1024>("io_depth"),
    Number<&O::io_threads, 1, 256>("io_threads"),
    Number<&O::submit_threads, 1, 64>("submit_threads"),
    Number<&O::writes_beside_reads, 1, 1024, true>("writes_beside_reads"),
    Number<&O::request_bytes, 256 * kKiB, kMiB>("request_bytes"),
    Number<&O::memtable_bytes, 64 * kKiB, kGiB>("memtable_bytes"),
    Number<&O::table_bytes, 64 * kKiB, 4 * kGiB>("table_bytes"),
    Number<&O::checkpoint_bytes, kMiB, UINT64_MAX, true>("checkpoint_bytes"),
    Number<&O::checkpoint_seconds, 0, 86400>("checkpoint_seconds"),
};

const Field* FindField(string_view name) {
  for (const Field& field : kFields) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

Status UnknownOption(string_view name) {
  string message = "unknown option '";
  message.append(name).append("'; the options are");
  for (const Field& field : kFields)
    message.append(&field == kFields ? " " : ", ").append(field.name);
  return Status::InvalidArgument(std::move(message));
}

}  // namespace

Result<Options> Options::Parse(string_view text) noexcept {
  Options options;
  while (!text.empty()) {
    const size_t semicolon = text.find(';');
    const string_view setting = Trim(text.substr(0, semicolon));
    text.remove_prefix(semicolon == string_view::npos ? text.size() : semicolon + 1);
    if (setting.empty()) continue;
    const size_t equals = setting.find('=');
    if (equals == string_view::npos) {
      string message = "option '";
      message.append(setting).append("' has no value; write name=value");
      return Status::InvalidArgument(std::move(message));
    }
    const string_view name = Trim(setting.substr(0, equals));
    const Field* field = FindField(name);
    if (field == nullptr) return UnknownOption(name);
    LAMINA_RETURN_IF_ERROR(field->parse(name, Trim(setting.substr(equals + 1)), &options));
  }
  LAMINA_RETURN_IF_ERROR(options.Validate());
  return options;
}

string Options::ToString() const noexcept {
  const Options defaults;
  string text;
  for (const Field& field : kFields) {
    const string value = field.text(*this);
    if (value == field.text(defaults)) continue;
    if (!text.empty()) text.push_back(';');
    text.append(field.name).append("=").append(value);
  }
  return text;
}

Status Options::Validate() const noexcept {
  for (const Field& field : kFields) LAMINA_RETURN_IF_ERROR(field.check(field.name, *this));
  if (require_io_uring && io == Io::kThreads) {
    return Status::InvalidArgument(
        "option require_io_uring: true contradicts io=threads; drop one of the two");
  }
  return Status::Ok();
}

}  // namespace lamina
