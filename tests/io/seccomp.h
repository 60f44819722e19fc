// Refuses system calls to a child process, to try what a container or a hardened kernel refuses.
//
//   CHECK(RunInChild([] {
//           RefuseSystemCall(__NR_io_uring_setup, EPERM);
//           return std::string(PosixFileSystem::Create({}).ok() ? "" : "did not fall back");
//         }) == "");
#ifndef LAMINA_TESTS_IO_SECCOMP_H_
#define LAMINA_TESTS_IO_SECCOMP_H_

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>

namespace lamina {

// Makes a system call fail with `error` in the calling thread and the threads and processes that
// it starts from now on, for good - when all bits of `mask` are set in its argument number
// `argument` (from 0), which an empty mask always says. Aborts when the kernel does not let it.
inline void RefuseSystemCall(long number, int error, unsigned argument = 0, uint32_t mask = 0) {
  const auto argument_at =
      static_cast<uint32_t>(offsetof(seccomp_data, args) + argument * sizeof(uint64_t));
  const uint32_t refuse = SECCOMP_RET_ERRNO | static_cast<uint32_t>(error);
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument_at),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, mask, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, refuse),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {.len = sizeof program / sizeof program[0], .filter = program};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) std::abort();
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) std::abort();
}

// Forks, runs the function in the child, and returns what it returned: "" is success, anything else
// says what went wrong. A child that a signal ended is a failure too. The child leaves by _exit; no
// other thread may run here meanwhile. Do not use the test framework's assertions in it.
inline std::string RunInChild(const std::function<std::string()>& function) {
  int ends[2];
  if (::pipe(ends) != 0) return "cannot make a pipe";
  const pid_t child = ::fork();
  if (child < 0) return "cannot fork";
  if (child == 0) {
    ::close(ends[0]);
    const std::string failure = function();
    const bool told =
        ::write(ends[1], failure.data(), failure.size()) == static_cast<ssize_t>(failure.size());
    ::_exit(told ? 0 : 1);
  }
  ::close(ends[1]);
  std::string failure;
  char buffer[512];
  for (ssize_t n = ::read(ends[0], buffer, sizeof buffer); n > 0;
       n = ::read(ends[0], buffer, sizeof buffer))
    failure.append(buffer, static_cast<size_t>(n));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status))
    return failure + " (ended by signal " + std::to_string(WTERMSIG(status)) + ")";
  if (WEXITSTATUS(status) != 0)
    return failure + " (exit status " + std::to_string(WEXITSTATUS(status)) + ")";
  return failure;
}

}  // namespace lamina

#endif  // LAMINA_TESTS_IO_SECCOMP_H_
