// One thing that a tool prints: named values in a fixed order, as a line of JSON or as text.
//
// The keys of a type of record are an interface: scripts read them. Add keys; do not rename them.
#ifndef LAMINA_TOOLS_COMMON_RECORD_H_
#define LAMINA_TOOLS_COMMON_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace lamina::tools {

// How a number is made easy to read.
enum class Unit : uint8_t { kPlain, kCount, kBytes };

class Record {
 public:
  // `type` becomes the first key, "type".
  explicit Record(std::string_view type) { Text("type", type); }

  Record& Text(std::string_view key, std::string_view value);
  Record& Number(std::string_view key, uint64_t value, Unit unit = Unit::kPlain);
  // Null when there is none.
  Record& Number(std::string_view key, std::optional<uint64_t> value, Unit unit = Unit::kPlain);
  Record& Real(std::string_view key, double value);
  Record& Flag(std::string_view key, bool value);
  Record& List(std::string_view key, std::vector<std::string> values);
  // All values of another record but its type.
  Record& Append(const Record& other);

  // One line, without its end. Bytes that are no UTF-8 are replaced.
  [[nodiscard]] std::string ToJson() const;
  // A line for each value but the type: `indent` spaces, the key with blanks for underscores, and
  // the value in a column; nulls and empty texts are left out. `raw` prints numbers exactly.
  [[nodiscard]] std::string ToText(bool raw, size_t indent = 2) const;

 private:
  using Value =
      std::variant<std::nullptr_t, std::string, uint64_t, double, bool, std::vector<std::string>>;
  struct Field {
    std::string key;
    Value value;
    Unit unit = Unit::kPlain;
  };
  static std::string TextOf(const Field& field, bool raw);

  std::vector<Field> fields_;
};

}  // namespace lamina::tools

#endif  // LAMINA_TOOLS_COMMON_RECORD_H_
