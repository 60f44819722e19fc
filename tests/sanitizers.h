// Defines LAMINA_TEST_HAS_SANITIZER where ASan or TSan is on: both take memory of their own, and
// operator new.
#ifndef LAMINA_TESTS_SANITIZERS_H_
#define LAMINA_TESTS_SANITIZERS_H_

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LAMINA_TEST_HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LAMINA_TEST_HAS_SANITIZER 1
#endif
#endif

#endif  // LAMINA_TESTS_SANITIZERS_H_
