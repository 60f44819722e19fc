#include "engine/base/size_text.h"

#include <charconv>
#include <system_error>

namespace lamina {

bool ParseSize(std::string_view text, uint64_t* value) noexcept {
  unsigned shift = 0;
  if (!text.empty()) {
    switch (text.back()) {
      case 'K':
      case 'k':
        shift = 10;
        break;
      case 'M':
      case 'm':
        shift = 20;
        break;
      case 'G':
      case 'g':
        shift = 30;
        break;
      case 'T':
      case 't':
        shift = 40;
        break;
      default:
        break;
    }
  }
  if (shift != 0) text.remove_suffix(1);
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  if (number > (UINT64_MAX >> shift)) return false;
  *value = number << shift;
  return true;
}

std::string SizeText(uint64_t value) noexcept {
  constexpr std::string_view kSuffixes = "KMGT";
  size_t suffix = 0;
  while (value != 0 && value % 1024 == 0 && suffix < kSuffixes.size()) {
    value /= 1024;
    ++suffix;
  }
  std::string text = std::to_string(value);
  if (suffix > 0) text.push_back(kSuffixes[suffix - 1]);
  return text;
}

}  // namespace lamina
