// Behaviour-modal alignment (BMA, docs/components.md, 4) as a part that any model with two representations of the same
// entities can add to its loss:
//
//   alignment_.add(tape, sum_, {behaviour_users, behaviour_items}, {modal_users, modal_items});
#pragma once

#include <array>
#include <span>
#include <string_view>

#include <dream/components/contrastive_alignment.hpp>
#include <dream/models/model.hpp>

namespace dream {

/// Readings of intra-alignment.
enum class Intra { none, pairs, modalities, moments };

struct AlignmentOptions {
  double temperature = 0.2;
  double inter_weight = 0.01;  ///< 0: no alignment between the domains
  Directions inter_directions = Directions::one;
  Intra intra = Intra::moments;  ///< `modalities` is for the model itself: only it knows them
  double intra_weight = 0.001;
};

/// Alignment added to a model (named in errors) of which nothing, or not the half that is asked for, would be in the
/// loss is an error. `of_users`: the model has users in both domains, not items alone.
inline void expect_alignable(const AlignmentOptions& options, std::string_view model, bool of_users) {
  const bool intra = options.intra != Intra::none && options.intra_weight > 0;
  DREAM_EXPECT(options.inter_weight > 0 || intra,
               "behaviour-modal alignment: neither inter_weight nor intra_weight (with an intra other than none) is "
               "above 0, so nothing would be aligned; set one of them, or leave the alignment out");
  if (!intra) return;
  DREAM_EXPECT(options.intra != Intra::modalities, "behaviour-modal alignment: ", model,
               " has no intra=modalities, which dream alone has; take intra=moments, or intra=none");
  DREAM_EXPECT(of_users || options.intra != Intra::pairs, "behaviour-modal alignment: ", model,
               " aligns items alone, where intra=pairs needs users too; take intra=moments, or intra=none");
}

template <class T, class B>
class BehaviourModalAlignment {
 public:
  explicit BehaviourModalAlignment(const AlignmentOptions& options)
      : options_(options), inter_users_(info_nce(options)), inter_items_(info_nce(options)) {
    expect_not_negative("inter_weight", options.inter_weight);
    expect_not_negative("intra_weight", options.intra_weight);
  }

  const AlignmentOptions& options() const { return options_; }
  static typename InfoNce<T, B>::Options info_nce(const AlignmentOptions& options) {
    return {static_cast<T>(options.temperature), options.inter_directions};
  }

  /// Adds the terms "inter" and "intra" with their weights. A part that needs both domains, or both users and items, is
  /// left out where one is missing.
  void add(Tape<T, B>& tape, LossSum<T, B>& sum, DomainRows behaviour, DomainRows modal) {
    add_inter(tape, sum, behaviour, modal);
    add_intra(tape, sum, behaviour, modal);
  }

  /// L_inter = InfoNCE(modal, behaviour) of the users and of the items.
  void add_inter(Tape<T, B>& tape, LossSum<T, B>& sum, DomainRows behaviour, DomainRows modal) {
    if (options_.inter_weight <= 0) return;
    std::array<Var, 2> parts;
    std::size_t count = 0;
    if (behaviour.users.valid() && modal.users.valid())
      parts[count++] = tape.apply(inter_users_, modal.users, behaviour.users);
    if (behaviour.items.valid() && modal.items.valid())
      parts[count++] = tape.apply(inter_items_, modal.items, behaviour.items);
    add_parts(tape, sum, "inter", std::span<const Var>(parts.data(), count), options_.inter_weight);
  }

  /// L_intra in the readings `pairs` and `moments`.
  void add_intra(Tape<T, B>& tape, LossSum<T, B>& sum, DomainRows behaviour, DomainRows modal) {
    if (options_.intra_weight <= 0) return;
    std::array<Var, 2> parts;
    std::size_t count = 0;
    if (options_.intra == Intra::pairs) {
      if (behaviour.users.valid() && behaviour.items.valid())
        parts[count++] = tape.apply(behaviour_pairs_, behaviour.users, behaviour.items);
      if (modal.users.valid() && modal.items.valid())
        parts[count++] = tape.apply(modal_pairs_, modal.users, modal.items);
    } else if (options_.intra == Intra::moments) {
      if (behaviour.users.valid() && modal.users.valid())
        parts[count++] = tape.apply(user_moments_, behaviour.users, modal.users);
      if (behaviour.items.valid() && modal.items.valid())
        parts[count++] = tape.apply(item_moments_, behaviour.items, modal.items);
    }
    add_parts(tape, sum, "intra", std::span<const Var>(parts.data(), count), options_.intra_weight);
  }

 private:
  static void add_parts(Tape<T, B>& tape, LossSum<T, B>& sum, const char* name, std::span<const Var> parts,
                        double weight) {
    if (!parts.empty()) sum.add(name, tape.apply_to_all(sum.plain(parts.size()), parts), weight);
  }

  AlignmentOptions options_;
  InfoNce<T, B> inter_users_, inter_items_;
  CosineDistance<T, B> behaviour_pairs_, modal_pairs_;
  MomentDistance<T, B> user_moments_, item_moments_;
};

}  // namespace dream
