// SPDX-License-Identifier: Apache-2.0
#include "lowrank/base/file.h"

#include <gmock/gmock.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <functional>
#include <set>

#include "lowrank/base/error.h"
#include "tests/support/temporary_folder.h"

namespace lowrank {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TemporaryFolder;
using ::testing::ThrowsMessage;

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

// From here on this process behaves as on a file system that cannot exchange two directories.
void forbid_exchange() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{static_cast<unsigned short>(std::size(program)), program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    _exit(3);
  }
}

pid_t start(const std::function<void()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    try {
      body();
    } catch (...) {
      _exit(2);
    }
    _exit(0);
  }
  return child;
}

int exit_status(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void write_generation(const fs::path& target, int generation) {
  AtomicDirectory directory(target);
  replace_file(directory.path() / "first", std::to_string(generation));
  fs::create_directory(directory.path() / "inner");
  replace_file(directory.path() / "inner" / "second", std::to_string(generation));
  directory.commit();
}

// The generation of a complete directory; throws where it is not complete.
int read_generation(const fs::path& target) {
  const std::string first = read_file(target / "first");
  if (read_file(target / "inner" / "second") != first) throw Error("mixed generations");
  return std::stoi(first);
}

TEST(ReadFile, ReturnsTheWholeFileOrItsFirstBytes) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "file";
  std::string content(3'000'000, 'x');
  content[2'999'999] = '\0';
  replace_file(path, content);
  EXPECT_EQ(read_file(path), content);
  EXPECT_EQ(read_file(path, 5), "xxxxx");
  EXPECT_EQ(read_file(path, 0), "");
}

TEST(ReadFile, ReadsFilesWhoseSizeTheSystemDoesNotKnow) {
  EXPECT_THAT(read_file("/proc/self/status"), HasSubstr("Pid:"));
}

TEST(ReadFile, NamesTheFileAndTheReason) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { read_file(folder.path() / "absent"); },
              ThrowsMessage<Error>(AllOf(HasSubstr("absent: cannot be opened: No such file"),
                                         HasSubstr("Check the path."))));
  EXPECT_THAT([&] { read_file(folder.path()); }, ThrowsMessage<Error>(HasSubstr("Is a directory")));
}

TEST(ReplaceFile, LeavesNothingBesideTheNewFile) {
  const TemporaryFolder folder;
  replace_file(folder.path() / "file", "old");
  replace_file(folder.path() / "file", "new");
  EXPECT_EQ(read_file(folder.path() / "file"), "new");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("file"));
}

TEST(ReplaceFile, KeepsTheOldFileWhereTheNewOneDoesNotFit) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "file";
  replace_file(path, "old");
  const pid_t child = start([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    setrlimit(RLIMIT_FSIZE, &limit);
    EXPECT_THROW(replace_file(path, std::string(2000, 'x')), Error);
    _exit(::testing::Test::HasFailure() ? 1 : 0);
  });
  EXPECT_EQ(exit_status(child), 0);
  EXPECT_EQ(read_file(path), "old");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("file"));
}

TEST(ReplaceFile, RefusesAFolderThatIsNotThere) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { replace_file(folder.path() / "absent" / "file", "x"); },
              ThrowsMessage<Error>(HasSubstr("file: cannot be written: No such file")));
}

TEST(AtomicFile, LeavesTheOldFileWithoutCommit) {
  const TemporaryFolder folder;
  replace_file(folder.path() / "file", "old");
  {
    AtomicFile file(folder.path() / "file");
    file.write("new");
    EXPECT_EQ(names_in(folder.path()).size(), 2u);
  }
  EXPECT_EQ(read_file(folder.path() / "file"), "old");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("file"));
}

TEST(AtomicFile, WritesOverWhatItWroteAndGoesOnAtTheEnd) {
  const TemporaryFolder folder;
  AtomicFile file(folder.path() / "file");
  file.write("0123456");
  file.overwrite(2, "ab");
  file.write("78");
  file.commit();
  EXPECT_EQ(read_file(folder.path() / "file"), "01ab45678");
}

TEST(MappedFile, ShowsTheBytesOfTheFile) {
  const TemporaryFolder folder;
  replace_file(folder.path() / "file", "abc");
  replace_file(folder.path() / "empty", "");
  MappedFile file(folder.path() / "file");
  const MappedFile moved(std::move(file));
  ASSERT_EQ(moved.bytes().size(), 3u);
  EXPECT_EQ(moved.bytes()[2], std::byte{'c'});
  EXPECT_TRUE(MappedFile(folder.path() / "empty").bytes().empty());
  EXPECT_THROW(MappedFile(folder.path() / "absent"), Error);
  EXPECT_THROW(MappedFile(folder.path()), Error);
}

TEST(AtomicDirectory, AppearsOnlyWithCommit) {
  const TemporaryFolder folder;
  const fs::path target = folder.path() / "run";
  {
    const AtomicDirectory directory(target);
    replace_file(directory.path() / "first", "x");
    EXPECT_FALSE(fs::exists(target));
  }
  EXPECT_THAT(names_in(folder.path()), IsEmpty());
  write_generation(target, 1);
  EXPECT_EQ(read_generation(target), 1);
  EXPECT_THAT(names_in(folder.path()), ElementsAre("run"));
}

TEST(AtomicDirectory, ReplacesTheOldDirectoryWhole) {
  const TemporaryFolder folder;
  const fs::path target = folder.path() / "run";
  write_generation(target, 1);
  replace_file(target / "only in the old one", "x");
  write_generation(target / "", 2);  // a slash at the end changes nothing
  EXPECT_EQ(read_generation(target), 2);
  EXPECT_THAT(names_in(target), ElementsAre("first", "inner"));
  EXPECT_THAT(names_in(folder.path()), ElementsAre("run"));
}

TEST(AtomicDirectory, RemovesWhatAKilledProcessLeftAndNothingElse) {
  const TemporaryFolder folder;
  const fs::path target = folder.path() / "run";
  EXPECT_EQ(exit_status(start([&] {
              AtomicDirectory directory(target);
              _exit(0);  // without the destructor
            })),
            0);
  EXPECT_THAT(names_in(folder.path()), ElementsAre("run.partial-0"));
  fs::create_directory(folder.path() / "run.partial-notes");
  const AtomicDirectory alive(target);
  const AtomicDirectory second(target);
  EXPECT_THAT(names_in(folder.path()),
              ElementsAre("run.partial-0", "run.partial-1", "run.partial-notes"));
}

TEST(AtomicDirectory, RefusesToReplaceAFile) {
  const TemporaryFolder folder;
  replace_file(folder.path() / "run", "mine");
  EXPECT_THROW(AtomicDirectory(folder.path() / "run"), Error);
  EXPECT_EQ(read_file(folder.path() / "run"), "mine");
}

// Kills a process that writes one generation after the other, at many moments.
void expect_complete_after_kills(const std::function<void()>& prepare) {
  const TemporaryFolder folder;
  const fs::path target = folder.path() / "run";
  write_generation(target, 0);
  for (int round = 0; round < 60; ++round) {
    const pid_t child = start([&] {
      prepare();
      for (int generation = 1;; ++generation) write_generation(target, generation);
    });
    usleep(static_cast<useconds_t>(2000 + 431 * round));
    kill(child, SIGKILL);
    ASSERT_EQ(exit_status(child), -1) << "the writer ended by itself";
    restore_directory(target);
    ASSERT_NO_THROW(read_generation(target)) << "round " << round;
  }
  write_generation(target, 7);
  EXPECT_EQ(read_generation(target), 7);
  EXPECT_THAT(names_in(folder.path()), ElementsAre("run"));
}

TEST(AtomicDirectory, IsCompleteWheneverTheWriterIsKilled) {
  expect_complete_after_kills([] {});
}

TEST(AtomicDirectory, IsCompleteWheneverTheWriterIsKilledWithoutExchange) {
  expect_complete_after_kills(forbid_exchange);
}

TEST(AtomicDirectory, ReplacesWithoutExchange) {
  const TemporaryFolder folder;
  const fs::path target = folder.path() / "run";
  write_generation(target, 1);
  EXPECT_EQ(exit_status(start([&] {
              forbid_exchange();
              write_generation(target, 2);
            })),
            0);
  EXPECT_EQ(read_generation(target), 2);
  EXPECT_THAT(names_in(folder.path()), ElementsAre("run"));
}

TEST(RestoreDirectory, PutsBackTheOldDirectoryOnlyWhereTheNewOneIsAbsent) {
  const TemporaryFolder folder;
  const fs::path target = folder.path() / "run";
  restore_directory(target);
  EXPECT_FALSE(fs::exists(target));
  write_generation(folder.path() / "run.previous", 1);
  restore_directory(target);
  EXPECT_EQ(read_generation(target), 1);
  write_generation(folder.path() / "run.previous", 0);
  restore_directory(target);
  EXPECT_EQ(read_generation(target), 1);
}

TEST(RequireWritable, CreatesTheFolderAndLeavesItEmpty) {
  const TemporaryFolder folder;
  require_writable(folder.path() / "a" / "b", 1);
  EXPECT_THAT(names_in(folder.path() / "a" / "b"), IsEmpty());
}

TEST(RequireWritable, RefusesAFullDiskAndAFile) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { require_writable(folder.path(), size_t{1} << 62); },
              ThrowsMessage<Error>(HasSubstr("4611686018427387904 are needed")));
  replace_file(folder.path() / "file", "");
  EXPECT_THROW(require_writable(folder.path() / "file", 0), Error);
  EXPECT_THROW(require_writable(folder.path() / "file" / "inner", 0), Error);
}

}  // namespace
}  // namespace lowrank
