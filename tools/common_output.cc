#include "tools/common_output.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace lamina::tools {
namespace {

constexpr size_t kBufferBytes = size_t{64} << 10;

}  // namespace

void Output::Write(std::string_view text) {
  if (closed_) return;
  if (sink_ != nullptr) {
    sink_->append(text);
    return;
  }
  buffer_.append(text);
  if (buffer_.size() >= kBufferBytes) Flush();
}

void Output::Flush() {
  std::string_view rest = buffer_;
  while (!rest.empty() && !closed_) {
    const ssize_t written = ::write(fd_, rest.data(), rest.size());
    if (written >= 0) {
      rest.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR) {
      closed_ = true;
      if (errno != EPIPE) error_ = errno;
    }
  }
  buffer_.clear();
}

void IgnoreBrokenPipe() noexcept { std::signal(SIGPIPE, SIG_IGN); }

}  // namespace lamina::tools
