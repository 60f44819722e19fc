#include "tools/common_record.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "tools/common_text.h"

namespace lamina::tools {

Record& Record::Text(std::string_view key, std::string_view value) {
  fields_.push_back({std::string(key), std::string(value)});
  return *this;
}

Record& Record::Number(std::string_view key, uint64_t value, Unit unit) {
  fields_.push_back({std::string(key), value, unit});
  return *this;
}

Record& Record::Number(std::string_view key, std::optional<uint64_t> value, Unit unit) {
  if (value) return Number(key, *value, unit);
  fields_.push_back({std::string(key), nullptr});
  return *this;
}

Record& Record::Real(std::string_view key, double value) {
  fields_.push_back({std::string(key), value});
  return *this;
}

Record& Record::Flag(std::string_view key, bool value) {
  fields_.push_back({std::string(key), value});
  return *this;
}

Record& Record::List(std::string_view key, std::vector<std::string> values) {
  fields_.push_back({std::string(key), std::move(values)});
  return *this;
}

Record& Record::Append(const Record& other) {
  fields_.insert(fields_.end(), other.fields_.begin() + 1, other.fields_.end());
  return *this;
}

std::string Record::ToJson() const {
  nlohmann::ordered_json json;
  for (const Field& field : fields_)
    std::visit([&](const auto& value) { json[field.key] = value; }, field.value);
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

namespace {

std::string Joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text.append(text.empty() ? "" : "; ").append(part);
  return text;
}

}  // namespace

std::string Record::TextOf(const Field& field, bool raw) {
  if (const auto* number = std::get_if<uint64_t>(&field.value)) {
    if (raw || field.unit == Unit::kPlain) return std::to_string(*number);
    return field.unit == Unit::kBytes ? HumanBytes(*number) : HumanCount(*number);
  }
  if (const auto* real = std::get_if<double>(&field.value))
    return raw ? fmt::format("{}", *real) : fmt::format("{:.4g}", *real);
  if (const auto* flag = std::get_if<bool>(&field.value)) return *flag ? "yes" : "no";
  if (const auto* list = std::get_if<std::vector<std::string>>(&field.value))
    return Printable(Joined(*list));
  if (const auto* text = std::get_if<std::string>(&field.value)) return Printable(*text);
  return {};
}

std::string Record::ToText(bool raw, size_t indent) const {
  size_t width = 0;
  for (const Field& field : fields_) width = std::max(width, field.key.size());
  std::string text;
  for (const Field& field : fields_) {
    const std::string value = TextOf(field, raw);
    if (field.key == "type" || value.empty()) continue;
    std::string label = field.key;
    std::replace(label.begin(), label.end(), '_', ' ');
    text.append(indent, ' ').append(label).append(width - label.size() + 2, ' ');
    text.append(value).append("\n");
  }
  return text;
}

}  // namespace lamina::tools
