#include "tensorlog/numbered_file.h"

#include <charconv>

namespace lamina {

std::string TenDigits(uint64_t number) noexcept {
  std::string digits = std::to_string(number);
  if (digits.size() < 10) digits.insert(0, 10 - digits.size(), '0');
  return digits;
}

bool ParseNumberedFile(std::string_view name, std::string_view suffix, uint64_t* number) noexcept {
  if (!name.ends_with(suffix)) return false;
  const std::string_view digits = name.substr(0, name.size() - suffix.size());
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), *number, 10);
  // The round trip refuses signs, missing zeros and whatever else could name a file twice.
  return error == std::errc() && end == digits.data() + digits.size() &&
         TenDigits(*number) == digits;
}

}  // namespace lamina
