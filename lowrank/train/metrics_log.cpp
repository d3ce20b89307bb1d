// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/metrics_log.h"

#include <fmt/format.h>

#include <cmath>

#include "lowrank/base/file.h"
#include "lowrank/train/learning_curve.h"

namespace lowrank::train {
MetricsLog::MetricsLog(const std::filesystem::path& folder, std::optional<int64_t> resumed_step)
    : folder_(folder), events_(folder) {
  const std::filesystem::path path = folder / kMetricsFile;
  std::string text;
  if (resumed_step && std::filesystem::exists(path)) {
    for (const Json& line : logged_lines(folder, *resumed_step)) {
      text += line.dump() + "\n";
      add_point(line);
    }
  }
  replace_file(path, text);
  lines_.open(path, std::ios::app);
}

void MetricsLog::add(const Training& training) {
  const Json line = {{"step", training.step},
                     {"epoch", training.epoch},
                     {"loss", training.loss},
                     {"learning_rate", training.learning_rate},
                     {"gradient_norm", training.gradient_norm},
                     {"tokens", training.tokens},
                     {"seconds", training.seconds}};
  append(line);
  events_.scalar("training/loss", training.step, training.loss);
  events_.scalar("training/learning_rate", training.step, training.learning_rate);
  events_.scalar("training/gradient_norm", training.step, training.gradient_norm);
}

void MetricsLog::add(int64_t step, double seconds, const Evaluation& evaluation, Metric metric,
                     bool best) {
  Json line = {{"step", step}, {"validation_loss", evaluation.loss}};
  const auto add_metric = [&](const char* name, double value) {
    line[std::string("validation_") + name] = value;
    if (std::isfinite(value)) events_.scalar(std::string("validation/") + name, step, value);
  };
  if (evaluation.measured == Measured::kNumber) {
    add_metric("pearson", evaluation.pearson);
    add_metric("spearman", evaluation.spearman);
  } else {
    add_metric("accuracy", evaluation.accuracy);
  }
  if (evaluation.order_accuracy) add_metric("order_accuracy", *evaluation.order_accuracy);
  if (evaluation.spans) add_metric("span_f1", evaluation.spans->f1());
  if (!evaluation.confusion.empty()) {
    add_metric("macro_f1", evaluation.macro_f1);
    add_metric("matthews", evaluation.matthews);
  }
  line["metric"] = metric_name(evaluation, metric);
  line["quality"] = quality(evaluation, metric);
  line["best"] = best;
  line["seconds"] = seconds;
  append(line);
  events_.scalar("validation/loss", step, evaluation.loss);
  events_.flush();
}

void MetricsLog::append(const Json& line) {
  lines_ << line.dump() << "\n" << std::flush;
  if (!lines_) {
    throw Error(fmt::format("{}: a line could not be written. Free space on the disk and resume.",
                            (folder_ / kMetricsFile).string()));
  }
  add_point(line);
}

void MetricsLog::add_point(const Json& line) {
  for (const auto& [key, curve] :
       {std::pair("loss", &training_loss_), std::pair("validation_loss", &validation_loss_)}) {
    if (!line.contains(key)) continue;
    curve->x.push_back(line["step"].get<double>());
    curve->y.push_back(line[key].get<double>());
  }
}

bool MetricsLog::draw(std::string* reason) {
  io::LinePlot plot{"Loss", "step", "loss", {}, false, false};
  for (const io::Curve& curve : {training_loss_, validation_loss_}) {
    if (!curve.x.empty()) plot.curves.push_back(curve);
  }
  return plot.curves.empty() || io::draw(plot, folder_ / "loss.png", reason);
}

}  // namespace lowrank::train
