// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <ostream>
#include <string>
#include <vector>

namespace lowrank::cli {

// Writes vectors as they come.
//
//   jsonl   {"source": "a.txt", "vector": [0.5, ...]} a line
//   csv     a heading "source,0,1,..." and a line for each; a source with a comma, a quote or a line's end
//           stands in quotes
//   npy     a NumPy array [n, c] float32, without the sources
//
// Numbers read back to the same float32. A file appears whole, at commit(), or not at all.
class VectorWriter {
 public:
  virtual ~VectorWriter() = default;
  virtual void write(const std::vector<std::string>& sources, const at::Tensor& vectors) = 0;
  virtual void commit() = 0;
};

// Into `file`, or where that is empty to `out`; npy needs a file. `width` is c.
std::unique_ptr<VectorWriter> make_vector_writer(const std::string& format, const std::string& file,
                                                 int64_t width, std::ostream& out);

}  // namespace lowrank::cli
