#include "engine/store/metrics.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <utility>

#include "engine/lamina.h"
#include "engine/store/store_impl.h"

namespace lamina {
namespace {

// Walks text that is known to be well-formed and without blanks.
class Flattener {
 public:
  explicit Flattener(std::string_view json) noexcept : json_(json) {}

  std::string Run() noexcept {
    Walk("lamina", "");
    return std::move(out_);
  }

 private:
  void Walk(const std::string& name, const std::string& labels) noexcept {
    switch (Peek()) {
      case '{':
        return Each('}', [&](size_t) {
          std::string path = name + '_';
          for (const char c : Text()) path.push_back(std::isalnum(c) != 0 ? c : '_');
          Skip(':');
          Walk(path, labels);
        });
      case '[':
        return Each(']', [&](size_t at) { Walk(name, WithLabel(labels, at)); });
      case '"':
        (void)Text();
        return;
      default:
        return Scalar(name, labels);
    }
  }

  // An array within an array has a label of its own.
  static std::string WithLabel(const std::string& labels, size_t at) noexcept {
    std::string label = "at";
    if (!labels.empty()) {
      label += '_' + std::to_string(2 + std::count(labels.begin(), labels.end(), ','));
      label.insert(0, labels + ',');
    }
    return label + "=\"" + std::to_string(at) + '"';
  }

  template <class Fn>
  void Each(char closer, Fn element) noexcept {
    ++at_;
    for (size_t i = 0; Peek() != closer && Peek() != '\0'; ++i) {
      element(i);
      Skip(',');
    }
    Skip(closer);
  }

  void Scalar(const std::string& name, const std::string& labels) noexcept {
    const size_t end = std::min(json_.find_first_of(",]}", at_), json_.size());
    std::string_view value = json_.substr(at_, end - at_);
    at_ = end;
    if (value == "null") return;
    if (value == "true") value = "1";
    if (value == "false") value = "0";
    out_ += name;
    if (!labels.empty()) out_ += '{' + labels + '}';
    out_ += ' ';
    out_ += value;
    out_ += '\n';
  }

  // What is between quotes, escapes and all.
  std::string_view Text() noexcept {
    const size_t begin = ++at_;
    while (Peek() != '"' && Peek() != '\0') at_ += Peek() == '\\' ? 2 : 1;
    const std::string_view text = json_.substr(begin, at_ - begin);
    Skip('"');
    return text;
  }

  [[nodiscard]] char Peek() const noexcept { return at_ < json_.size() ? json_[at_] : '\0'; }
  void Skip(char c) noexcept {
    if (Peek() == c) ++at_;
  }

  const std::string_view json_;
  size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::string MetricsOf(std::string_view json) noexcept { return Flattener(json).Run(); }

std::string Store::MetricsText() noexcept { return MetricsOf(impl_->StatsJson()); }

}  // namespace lamina
