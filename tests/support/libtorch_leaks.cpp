// SPDX-License-Identifier: Apache-2.0
// Linked into the programs that give LibTorch damaged zip archives: PyTorchStreamReader's constructor opens the archive,
// which takes some hundred bytes, then looks into it, and where that throws does not close it.
extern "C" const char* __lsan_default_suppressions();  // what LeakSanitizer asks for
extern "C" const char* __lsan_default_suppressions() { return "leak:mz_zip_reader_\n"; }
