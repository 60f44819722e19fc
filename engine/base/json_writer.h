// Writes one JSON value into a string, for Stats and reports. Reading JSON is not done here.
//
//   JsonWriter json;
//   json.BeginObject().Field("pages", pages).Key("io").BeginObject().Field("backend",
//   name).End().End(); return json.Take();
//
// Numbers that are not finite are written as null. Not thread-safe.
#ifndef LAMINA_ENGINE_BASE_JSON_WRITER_H_
#define LAMINA_ENGINE_BASE_JSON_WRITER_H_

#include <charconv>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace lamina {

class JsonWriter {
 public:
  JsonWriter& BeginObject() {
    Open('{', '}');
    return *this;
  }
  JsonWriter& BeginArray() {
    Open('[', ']');
    return *this;
  }
  // Ends the innermost object or array.
  JsonWriter& End() {
    out_.push_back(closers_.back());
    closers_.pop_back();
    first_ = false;
    return *this;
  }
  JsonWriter& Key(std::string_view name) {
    Separate();
    Quote(name);
    out_.push_back(':');
    first_ = true;  // no comma before the value
    return *this;
  }
  template <class T>
  JsonWriter& Value(const T& value) {
    Separate();
    Write(value);
    return *this;
  }
  template <class T>
  JsonWriter& Field(std::string_view name, const T& value) {
    return Key(name).Value(value);
  }
  [[nodiscard]] std::string Take() { return std::exchange(out_, {}); }

 private:
  void Open(char opener, char closer) {
    Separate();
    out_.push_back(opener);
    closers_.push_back(closer);
    first_ = true;
  }
  void Separate() {
    if (!first_) out_.push_back(',');
    first_ = false;
  }
  void Write(bool value) { out_ += value ? "true" : "false"; }
  template <std::integral T>
  requires(!std::same_as<T, bool>) void Write(T value) { out_ += std::to_string(value); }
  void Write(double value) {
    if (!std::isfinite(value)) {
      out_ += "null";
      return;
    }
    char text[32];
    const auto [end, error] = std::to_chars(text, text + sizeof text, value);
    out_.append(text, end);
  }
  void Write(std::string_view value) { Quote(value); }
  void Write(const char* value) { Quote(value); }  // which would be taken for a bool

  void Quote(std::string_view text) {
    constexpr std::string_view kHex = "0123456789abcdef";
    out_.push_back('"');
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        out_.push_back('\\');
        out_.push_back(c);
      } else if (byte < 0x20 || byte >= 0x7F) {
        // Bytes outside ASCII are shown as Latin-1: names may hold anything, JSON may not.
        out_ += "\\u00";
        out_.push_back(kHex[byte >> 4]);
        out_.push_back(kHex[byte & 15]);
      } else {
        out_.push_back(c);
      }
    }
    out_.push_back('"');
  }

  std::string out_;
  std::string closers_;
  bool first_ = true;
};

}  // namespace lamina

#endif  // LAMINA_ENGINE_BASE_JSON_WRITER_H_
