"""What a confirmation says, in plain English: certain where the figures are, and not elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from analysis.statistics.confirmation import Confirmation, Confirmed, Optimism
from analysis.statistics.intervals import MeanInterval
from analysis.statistics.paired import ALPHA, PairedComparison
from analysis.statistics.quantities import Quantity, format_p, quantity

Names = Mapping[str, str]


def verdict(
    confirmation: Confirmation,
    *,
    names: Names | None = None,
    metric: Quantity | None = None,
) -> tuple[str, ...]:
    """All sentences on a confirmation, the most important first.

    `names` are readable names of the configurations (their own by default), `metric` how the
    score is called and printed (by default what `quantities.quantity` knows of it).
    """
    names = names or {}
    metric = metric or quantity(confirmation.metric)
    winner = confirmation.winner
    against = confirmation.comparison(winner.configuration)
    sentences = [estimate_sentence(winner, names, metric)]
    if against is None:
        sentences.append(
            "The search found nothing better than the reference, which is itself the winner."
        )
    else:
        sentences += comparison_sentences(against, names, metric, len(confirmation.comparisons))
    sentences += [
        *optimism_sentences(winner, metric),
        *order_sentences(confirmation, names, metric),
        *missing_sentences(confirmation, names),
    ]
    return tuple(sentences)


def estimate_sentence(confirmed: Confirmed, names: Names, metric: Quantity) -> str:
    """What score the configuration reached on the fresh seeds."""
    who, estimate = _name(confirmed.configuration, names), confirmed.estimate
    if estimate.n == 0:
        return f"{who} has no finished confirmation run, so nothing is confirmed."
    reached = f"{who} reached a {metric.label} of {metric.with_unit(estimate.mean)}"
    if estimate.n == 1:
        return f"{reached} on the one seed that finished; one seed says nothing of the uncertainty."
    return f"{reached} ({_interval(estimate, metric)}, {estimate.n} seeds)."


def comparison_sentences(
    comparison: PairedComparison, names: Names, metric: Quantity, comparisons: int
) -> list[str]:
    """Whether the configuration differs from the reference, and how sure that is."""
    who = _name(comparison.configuration, names)
    difference, conclusion = comparison.difference, comparison.conclusion
    fine = metric.difference()
    if conclusion == "too few seeds":
        count = difference.n
        return [
            f"Whether {who} beats the reference cannot be told: {count or 'no'} "
            f"{'seed' if count == 1 else 'seeds'} finished for both."
        ]
    size = fine.with_unit(abs(difference.mean))
    if conclusion == "uncertain":
        side = "better" if comparison.gain >= 0 else "worse"
        sentences = [
            f"Whether {who} beats the reference is not certain: it is {size} {side} "
            f"({_paired(comparison, fine, comparisons)})."
        ]
        return [*sentences, *_why_uncertain(comparison, fine)]
    verb = "beats" if conclusion == "better" else "is worse than"
    tested = _paired(comparison, fine, comparisons)
    sentences = [f"{who} {verb} the reference by {size} ({tested})."]
    if comparison.p_sign_flip > ALPHA:
        sentences.append(_sign_flip_remark(comparison))
    return sentences


def _why_uncertain(comparison: PairedComparison, fine: Quantity) -> list[str]:
    """What stands in the way of certainty: the correction, or the spread over seeds."""
    difference = comparison.difference
    if comparison.p_t <= ALPHA:
        return [
            "Alone this comparison would pass as certain; corrected for the others beside it, "
            "it does not."
        ]
    if not comparison.varies:
        return ["The seeds do not vary the difference, so they show nothing of its uncertainty."]
    reach = fine.with_unit(difference.half_width)
    return [f"A difference under about {reach} cannot be seen with these {difference.n} seeds."]


def _sign_flip_remark(comparison: PairedComparison) -> str:
    count, p = len(comparison.seeds), format_p(comparison.p_sign_flip)
    if comparison.sign_flip_floor > ALPHA:
        return (
            f"This rests on the t test: the sign-flip test, which assumes less, gives p {p} and "
            f"cannot fall under {comparison.sign_flip_floor:.3f} with {count} seeds."
        )
    return f"The sign-flip test, which assumes less, does not agree (p {p}): take it with care."


def optimism_sentences(confirmed: Confirmed, metric: Quantity) -> list[str]:
    """How much the search flattered the configuration, and whether that is more than luck."""
    optimism = confirmed.optimism
    if optimism is None or optimism.total.n == 0:
        return []
    fine = metric.difference()
    total = optimism.total
    shown = f"The search had shown {metric.with_unit(optimism.search_score)}"
    size = f"{fine.with_unit(abs(total.mean))} {'better' if total.mean >= 0 else 'worse'}"
    if total.n == 1:
        return [
            f"{shown}, {size} than its one confirmation run.",
            *_split_sentence(optimism, fine),
        ]
    draw = "one run" if optimism.search_seeds == 1 else f"a mean of {optimism.search_seeds} runs"
    reach = fine.with_unit(total.half_width)
    luck = f"the luck of {draw} reaches {reach} either way, {total.confidence * 100:g} %"
    weight = "more than chance explains" if optimism.certain else "which may be chance"
    return [
        f"{shown}, {size} than confirmed, {weight} ({luck}).",
        *_split_sentence(optimism, fine),
    ]


def _split_sentence(optimism: Optimism, fine: Quantity) -> list[str]:
    if optimism.selection is None or optimism.transfer is None:
        return []
    pick = fine.with_unit(optimism.selection.mean, signed=True)
    shift = fine.with_unit(optimism.transfer.mean, signed=True)
    return [
        f"Of that, {pick} is the search's score against fresh runs, both on validation images, "
        f"and {shift} is validation against test."
    ]


def order_sentences(confirmation: Confirmation, names: Names, metric: Quantity) -> list[str]:
    """Whether the order of the search held, and whether a swap is more than noise."""
    order = confirmation.order
    count = len(order.searched)
    if count < 2:
        return []
    tau = f"Kendall's tau {order.kendall_tau:.2f}"
    if order.held:
        doubt = "" if order.settled else ", though the seeds do not tell every pair apart"
        return [f"The order of the {count} confirmed configurations held ({tau}){doubt}."]
    fine = metric.difference()
    sentences = [f"The order of the {count} confirmed configurations did not hold ({tau})."]
    for swap in order.swaps:
        ahead, behind = _name(swap.configuration, names), _name(swap.reference, names)
        certain = swap.conclusion == "better"
        weight = "more than chance explains" if certain else "which chance alone can explain"
        sentences.append(
            f"{ahead} came out ahead of {behind} by {fine.with_unit(abs(swap.difference.mean))}, "
            f"{weight} (p {format_p(swap.p_holm)}, corrected for all pairs)."
        )
    if any(swap.reference == confirmation.winner.configuration for swap in order.swaps):
        sentences.append(
            "The winner stays the one that validation chose: choosing again by test scores would "
            "make them optimistic in turn."
        )
    return sentences


def missing_sentences(confirmation: Confirmation, names: Names) -> list[str]:
    """Which seeds did not finish: those that did may be the kinder ones."""
    return [
        f"{_name(confirmed.configuration, names)} did not finish {_seeds(confirmed.missing)}: a "
        "configuration that fails on some seeds is judged by the kinder ones."
        for confirmed in confirmation.configurations
        if confirmed.missing and confirmed.seeds
    ]


def _seeds(seeds: tuple[int, ...]) -> str:
    listed = ", ".join(map(str, seeds))
    return f"seed {listed}" if len(seeds) == 1 else f"seeds {listed}"


def _paired(comparison: PairedComparison, fine: Quantity, comparisons: int) -> str:
    """Interval, test and correction, for the brackets of a sentence that says the size.

    The interval has the sentence's direction: positive is what the sentence says.
    """
    test = "paired t" if comparison.varies else "sign flips"
    tested = f"{test} over {len(comparison.seeds)} seeds, p {format_p(comparison.p_t)}"
    if comparisons > 1:
        adjusted = format_p(comparison.p_holm)
        tested += f", {adjusted} after Holm's correction for {comparisons} comparisons"
    return f"{_interval(_towards_its_mean(comparison.difference), fine)}; {tested}"


def _towards_its_mean(estimate: MeanInterval) -> MeanInterval:
    """The same with a mean above 0."""
    if estimate.mean >= 0:
        return estimate
    return replace(estimate, mean=-estimate.mean, low=-estimate.high, high=-estimate.low)


def _interval(estimate: MeanInterval, metric: Quantity) -> str:
    low, high = metric.with_unit(estimate.low), metric.with_unit(estimate.high)
    if metric.unit:
        low = low.removesuffix(f" {metric.unit}")
    return f"{estimate.confidence * 100:g} % interval {low} to {high}"


def _name(configuration: str, names: Names) -> str:
    return names.get(configuration, configuration)
