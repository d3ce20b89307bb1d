// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/search_index.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <map>
#include <string_view>

#include "lowrank/base/file.h"
#include "lowrank/io/safetensors.h"

namespace lowrank::serve {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMetadata = "lowrank.search_index";
constexpr int64_t kVersion = 1;
constexpr size_t kLooksAt = 8192;  // bytes in which a binary file has a zero

// Thrown out of an update that is to stop.
struct Stopped {};

std::string hexadecimal(uint64_t number) { return fmt::format("{:016x}", number); }

std::string checksum_of(std::string_view content) {
  return hexadecimal(XXH3_64bits(content.data(), content.size()));
}

bool is_binary(std::string_view content) {
  return content.substr(0, kLooksAt).find('\0') != std::string_view::npos;
}

const char* name_of(models::Pooling pooling) {
  if (pooling == models::Pooling::kCls) return "cls";
  return pooling == models::Pooling::kMax ? "max" : "mean";
}

const char* name_of(Overflow policy) {
  constexpr const char* kNames[] = {"error", "truncate", "chunk", "interpolate"};
  return kNames[static_cast<size_t>(policy)];
}

// The bytes that a piece's tokens stand for.
Passage passage_of(const Piece& piece) {
  Passage passage{.tokens = piece.weight};
  bool first = true;
  for (size_t i = 0; i < piece.encoded.ids.size(); ++i) {
    if (piece.encoded.texts[i] == text::Encoded::kTemplate) continue;
    if (first) passage.begin = piece.encoded.spans[i].begin;
    first = false;
    passage.end = std::max(passage.end, piece.encoded.spans[i].end);
  }
  return passage;
}

[[noreturn]] void throw_damaged(const fs::path& path, const std::string& fact) {
  throw Error(fmt::format(
      "{}: {}; it is no search index, or a damaged one. Use another file, or rebuild it.",
      path.string(), fact));
}

void check_settings(const fs::path& path, const Json& found, const Json& wanted) {
  for (const auto& [key, value] : wanted.items()) {
    if (found.value(key, Json()) == value) continue;
    if (key == "model") {
      throw Error(
          fmt::format("{}: the index was made with another model, or this one in another "
                      "dtype. Rebuild it, or use another file.",
                      path.string()));
    }
    throw Error(
        fmt::format("{}: the index was made with {} = {}, not {}. Rebuild it, or use another "
                    "file.",
                    path.string(), key, found.value(key, Json()).dump(), value.dump()));
  }
}

// The files' rows of `vectors` and `passages` [rows, 3], by the number of rows that each has.
std::vector<IndexedFile> files_of(const fs::path& path, const Json& list, const at::Tensor& vectors,
                                  const at::Tensor& passages) {
  std::vector<IndexedFile> files;
  int64_t row = 0;
  for (const Json& entry : list) {
    IndexedFile file{.name = entry.at("name"),
                     .size = entry.at("size"),
                     .checksum = entry.at("checksum"),
                     .passages = {},
                     .vectors = {}};
    const int64_t count = entry.at("passages");
    if (count < 1 || count > vectors.size(0) - row) {
      throw_damaged(path, fmt::format("file \"{}\" has {} passages, {} rows are left", file.name,
                                      count, vectors.size(0) - row));
    }
    file.vectors = vectors.slice(0, row, row + count);
    const int64_t* numbers = passages.const_data_ptr<int64_t>() + 3 * row;
    for (int64_t i = 0; i < count; ++i, numbers += 3) {
      const Passage passage{.begin = numbers[0], .end = numbers[1], .tokens = numbers[2]};
      const bool inside = 0 <= passage.begin && passage.begin <= passage.end &&
                          passage.end <= file.size && passage.tokens > 0;
      if (!inside) throw_damaged(path, fmt::format("file \"{}\" has a passage outside", file.name));
      file.passages.push_back(passage);
    }
    row += count;
    files.push_back(std::move(file));
  }
  if (row != vectors.size(0)) {
    throw_damaged(path, fmt::format("{} rows belong to no file", vectors.size(0) - row));
  }
  return files;
}

// Cosines of rows and a vector; 0 for a row of zeros.
at::Tensor cosines(const at::Tensor& rows, const at::Tensor& query) {
  const at::Tensor lengths = rows.norm(2, 1).clamp_min(1e-12);
  return at::mv(rows, query / query.norm().clamp_min(1e-12)) / lengths;
}

at::Tensor file_vector(const IndexedFile& file) {
  std::vector<float> weights;
  for (const Passage& passage : file.passages)
    weights.push_back(static_cast<float>(passage.tokens));
  const at::Tensor share = at::tensor(weights);
  return at::mv(file.vectors.t(), share / share.sum());
}

// A file that is yet to be embedded.
struct Waiting {
  std::string name;
  int64_t size = 0;
  std::string checksum;
};

}  // namespace

std::string fingerprint(const TextModel& model) {
  XXH64_hash_t hash = 0;
  const auto add = [&](const void* data, size_t bytes) {
    hash = XXH3_64bits_withSeed(data, bytes, hash);
  };
  models::ModelConfig config = model.model->config();
  const std::string written =
      write_config([&](ConfigFields& fields) { models::describe(fields, config); }).dump();
  add(written.data(), written.size());
  for (const auto& parameter : model.model->named_parameters()) {
    const at::Tensor bytes = parameter->detach().cpu().contiguous();
    add(parameter.key().data(), parameter.key().size());
    add(bytes.const_data_ptr(), bytes.nbytes());
  }
  for (int64_t id = 0; id < model.tokenizer->vocabulary(); ++id) {
    const std::string token = model.tokenizer->token(id);
    add(token.data(), token.size());
  }
  return hexadecimal(hash);
}

Json index_settings(const TextModel& model, const EmbedOptions& options) {
  return {{"model", fingerprint(model)},
          {"pooling", name_of(options.pooling.value_or(model.model->config().pooling))},
          {"on_overflow", name_of(options.pieces.on_overflow)},
          {"max_length", options.pieces.max_length}};
}

SearchIndex SearchIndex::load(const fs::path& path, const Json& settings) {
  SearchIndex index(settings);
  const auto metadata = io::load_safetensors_metadata(path);
  const auto found = metadata.find(kMetadata);
  if (found == metadata.end()) throw_damaged(path, "it has no list of files");
  const Json description = parse_json(found->second, path.string());
  if (!description.is_object() || description.value("version", Json()) != kVersion) {
    throw_damaged(path, fmt::format("its version is not {}", kVersion));
  }
  check_settings(path, description.value("settings", Json::object()), settings);
  at::Tensor vectors, passages;
  for (const auto& [name, tensor] : io::load_safetensors(path)) {
    if (name == "vectors") vectors = tensor;
    if (name == "passages") passages = tensor;
  }
  const bool fits = vectors.defined() && passages.defined() && vectors.dim() == 2 &&
                    vectors.scalar_type() == at::kFloat && passages.dim() == 2 &&
                    passages.scalar_type() == at::kLong && passages.size(1) == 3 &&
                    passages.size(0) == vectors.size(0);
  if (!fits) throw_damaged(path, "vectors and passages do not fit each other");
  try {
    index.files_ = files_of(path, description.at("files"), vectors, passages.contiguous());
  } catch (const Json::exception&) {
    throw_damaged(path, "its list of files has a missing or mistyped entry");
  }
  return index;
}

void SearchIndex::save(const fs::path& path) const {
  Json list = Json::array();
  std::vector<at::Tensor> vectors;
  std::vector<int64_t> numbers;
  for (const IndexedFile& file : files_) {
    list.push_back({{"name", file.name},
                    {"size", file.size},
                    {"checksum", file.checksum},
                    {"passages", file.passages.size()}});
    vectors.push_back(file.vectors);
    for (const Passage& passage : file.passages) {
      numbers.insert(numbers.end(), {passage.begin, passage.end, passage.tokens});
    }
  }
  const Json description = {{"version", kVersion}, {"settings", settings_}, {"files", list}};
  const at::Tensor rows = vectors.empty() ? at::empty({0, 0}) : at::cat(vectors);
  const at::Tensor passages = at::tensor(numbers, at::kLong).view({-1, 3});
  io::save_safetensors(
      path, {{"vectors", rows}, {"passages", passages}},
      {{kMetadata, description.dump(-1, ' ', false, Json::error_handler_t::replace)}});
}

UpdateReport SearchIndex::update(const fs::path& folder, const fs::path& exclude,
                                 Embedder& embedder, const Complain& complain,
                                 const IndexProgress& progress) {
  UpdateReport report;
  std::map<std::string, IndexedFile> known;  // by checksum
  std::map<std::string, bool> names;         // that the index had; whether they are there still
  for (IndexedFile& file : files_) {
    names.emplace(file.name, false);
    known.emplace(file.checksum, std::move(file));
  }
  files_.clear();

  std::vector<fs::path> paths = find_texts({folder.string()}, complain);
  int64_t total = 0, done = 0;
  std::erase_if(paths, [&](const fs::path& path) {
    std::error_code ignored;
    return fs::equivalent(path, exclude, ignored);
  });
  for (const fs::path& path : paths) {
    std::error_code unknown;
    const uintmax_t size = fs::file_size(path, unknown);
    if (!unknown) total += static_cast<int64_t>(size);
  }
  const auto go_on = [&] {
    if (progress && !progress(done, total, report.tokens)) throw Stopped();
  };
  embedder.on_progress([&](int64_t tokens) {
    report.tokens += tokens;
    go_on();
  });

  std::vector<Waiting> waiting;  // as many as the window holds texts
  PieceWindow window(embedder.token_budget(), [&](const std::vector<Pieces>& texts) {
    const at::Tensor vectors = embedder.embed_pieces(texts);
    int64_t row = 0;
    for (size_t i = 0; i < texts.size(); ++i) {
      const int64_t count = std::ssize(texts[i].pieces);
      IndexedFile file{.name = waiting[i].name,
                       .size = waiting[i].size,
                       .checksum = waiting[i].checksum,
                       .passages = {},
                       .vectors = vectors.slice(0, row, row + count)};
      for (const Piece& piece : texts[i].pieces) file.passages.push_back(passage_of(piece));
      files_.push_back(std::move(file));
      row += count;
    }
    report.embedded += std::ssize(texts);
    waiting.clear();
  });

  const auto take = [&](const TextInput& input) {
    const std::string name = fs::path(input.source).lexically_relative(folder).generic_string();
    const int64_t size = std::ssize(input.text);
    done += size;
    const std::string checksum = checksum_of(input.text);
    if (const auto there = names.find(name); there != names.end()) there->second = true;
    if (const auto old = known.find(checksum); old != known.end() && old->second.size == size) {
      IndexedFile file = old->second;  // a copy: other files may have the same content
      file.name = name;
      files_.push_back(std::move(file));
      ++report.kept;
      go_on();
      return;
    }
    const bool blank = input.text.find_first_not_of(" \t\r\n\f\v") == std::string::npos;
    if (blank || is_binary(input.text)) {
      ++report.skipped;
      return;
    }
    Pieces pieces;
    try {
      pieces = embedder.cut(input);
    } catch (const Error& error) {
      complain(error.what());
      return;
    }
    waiting.push_back({.name = name, .size = size, .checksum = checksum});
    window.add(std::move(pieces));
    go_on();
  };

  try {
    for (const fs::path& path : paths) read_texts(path, {}, take, complain);
    window.flush();
  } catch (const Stopped&) {
    report.stopped = true;
    for (const IndexedFile& file : files_) known.erase(file.checksum);
    for (auto& [checksum, file] : known) files_.push_back(std::move(file));  // for the next update
  }
  embedder.on_progress({});
  std::sort(files_.begin(), files_.end(),
            [](const IndexedFile& a, const IndexedFile& b) { return a.name < b.name; });
  if (!report.stopped) {
    report.removed =
        std::count_if(names.begin(), names.end(), [](const auto& one) { return !one.second; });
  }
  return report;
}

std::vector<Hit> SearchIndex::search(const at::Tensor& query, int64_t top,
                                     Granularity granularity) const {
  std::vector<Hit> hits;
  for (const IndexedFile& file : files_) {
    const at::Tensor scores = cosines(file.vectors, query).to(at::kDouble).contiguous();
    const double* score = scores.const_data_ptr<double>();
    const size_t best =
        static_cast<size_t>(std::max_element(score, score + scores.numel()) - score);
    if (granularity == Granularity::kFile) {
      const at::Tensor whole = cosines(file_vector(file).unsqueeze(0), query);
      hits.push_back(
          {.file = file.name, .passage = file.passages[best], .score = whole.item<double>()});
      continue;
    }
    for (size_t i = 0; i < file.passages.size(); ++i) {
      hits.push_back({.file = file.name, .passage = file.passages[i], .score = score[i]});
    }
  }
  std::stable_sort(hits.begin(), hits.end(),
                   [](const Hit& a, const Hit& b) { return a.score > b.score; });
  if (std::ssize(hits) > top) hits.resize(static_cast<size_t>(top));
  return hits;
}

}  // namespace lowrank::serve
