// Writes JSON text: just enough for the tuner's records. Internal to the tuner.
//
// Doubles are printed in the shortest form that reads back as the same value; what is not finite
// becomes null. Names and strings are the tuner's own and need no escaping.
#ifndef LAMINA_TUNER_JSON_TEXT_H_
#define LAMINA_TUNER_JSON_TEXT_H_

#include <charconv>
#include <cmath>
#include <concepts>
#include <string>
#include <string_view>

namespace lamina::tuner {

class JsonText {
 public:
  // An object or array; `name` is empty for array elements and for the outermost value.
  void Open(std::string_view name, char bracket) noexcept {
    Name(name);
    text_ += bracket;
    first_ = true;
  }
  void Close(char bracket) noexcept {
    text_ += bracket;
    first_ = false;
  }
  void Value(std::string_view name, bool value) noexcept {
    Name(name);
    text_ += value ? "true" : "false";
  }
  void Value(std::string_view name, std::string_view value) noexcept {
    Name(name);
    text_ += '"';
    text_ += value;
    text_ += '"';
  }
  template <class T>
  requires((std::integral<T> ||
            std::floating_point<T>)&&!std::same_as<T, bool>) void Value(std::string_view name,
                                                                        T value) noexcept {
    Name(name);
    if constexpr (std::floating_point<T>) {
      if (!std::isfinite(value)) {
        text_ += "null";
        return;
      }
    }
    char digits[40];
    const auto end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
    text_.append(digits, end);
  }
  // JSON text made elsewhere.
  void Raw(std::string_view name, std::string_view json) noexcept {
    Name(name);
    text_ += json;
  }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  void Name(std::string_view name) noexcept {
    if (!first_) text_ += ',';
    first_ = false;
    if (name.empty()) return;
    text_ += '"';
    text_ += name;
    text_ += "\":";
  }

  std::string text_;
  bool first_ = true;
};

}  // namespace lamina::tuner

#endif  // LAMINA_TUNER_JSON_TEXT_H_
