"""Everything that the page says in English; stories by the letter of the experiment."""

from entropy_lab.texts import Language, Story

STORIES = {
    "a": Story(
        title="α is a thermostat",
        done="A CartPole agent learns with the target H̄ = {a.target .3f} nats. Twice its actor is "
        "stopped for a while (shaded) with its logits scaled: first so that the entropy is "
        "{a.narrow.entropy .2f} nats, below the target, then {a.wide.entropy .2f} nats, above "
        "it. The critics and α continue to learn.",
        see="Held below the target, α rises from {a.narrow.alpha_before .2f} to "
        "{a.narrow.alpha_end .2f}; Q, which counts α times the entropy to come, follows; let go, "
        "the policy answers by widening past the target. Held above, everything goes the other "
        "way: α falls from {a.wide.alpha_before .2f} to {a.wide.alpha_end .2f}.",
        follows="Entropy below target raises α, above it lowers α. The order is fixed by the losses: α "
        "sees the entropy, Q sees α, and the policy sees both.",
    ),
    "b": Story(
        title="Which entropy to aim at",
        done="CartPole has two actions, so no policy has more than log 2 = {b.log_n .3f} nats. Five "
        "targets, three seeds each, everything else equal; lines are means, bands go from the "
        "lowest seed to the highest. −1 is refused by this framework; here a head that claims "
        "to reach it lets it pass.",
        see="0.5 log n and the ε-peaked target are reached and α settles ({b.alpha.ratio_0.5 .2g} "
        "and {b.alpha.eps_peaked .2g}). log n is reached by the uniform policy alone, so α "
        "climbs to {b.alpha.log_n .2g} and the return ends at {b.return.log_n .0f}; with 0.98 "
        "log n α is {b.alpha.ratio_0.98 .2g} and the return {b.return.ratio_0.98 .0f}, against "
        "{b.return.ratio_0.5 .0f} with 0.5 log n. −1 lies below 0, which no discrete policy has: "
        "α falls to {b.alpha.minus_one .2g}, as if there were no entropy term.",
        follows="A target must leave the policy room for the choices that the task rewards. Outside "
        "what the head can reach, α never settles: it only shows how long the run was.",
    ),
    "c": Story(
        title="Fixed, annealed, learned",
        done="α = 0.2 throughout, α falling exponentially from 1 to 0.01 over the run, and α learned. "
        "Three seeds each; lines are means, bands go from the lowest seed to the highest.",
        see="Return at the end on Pendulum: {c.return.pendulum.fixed .0f} fixed, "
        "{c.return.pendulum.anneal .0f} annealed, {c.return.pendulum.auto .0f} learned. On "
        "CartPole: {c.return.cartpole.fixed .0f}, {c.return.cartpole.anneal .0f}, "
        "{c.return.cartpole.auto .0f}. The learned α ends at {c.alpha.pendulum.auto .2g} on one "
        "and {c.alpha.cartpole.auto .2g} on the other.",
        follows="A fixed α is right for one scale of reward, an annealed one for one length of run as "
        "well. The learned one needs neither, only a target entropy, and finds a different α on "
        "each task.",
    ),
    "d": Story(
        title="σ, the Gaussian's entropy, and the entropy that counts",
        done="The tanh_normal head draws u = μ + σε and acts with a = tanh(u). For each σ the "
        "entropy of a is the mean of the head's own −log π, by quadrature.",
        see="For small σ and μ = 0 tanh does nothing, and ½ log(2πeσ²) is right. At σ = "
        "{d.one.std .2f} it says {d.one.gaussian .2f} nats, the truth is {d.one.true .2f}. The "
        "truth is largest at σ = {d.best_std .2f}, close to log 2, and falls again: a wide "
        "Gaussian is pushed to both ends of the action range. At σ = {d.large.std .1f} the "
        "formula says {d.large.gaussian .2f}, the truth is {d.large.true .2f}.",
        follows="½ log(2πeσ²) is the entropy of u, not of the action. It is an upper bound, but one "
        "that keeps growing while the truth falls, and away from μ = 0 it is off even for "
        "small σ. σ is no entropy at all. SAC uses −log π of the squashed action.",
    ),
    "e": Story(
        title="What the r in rsample does",
        done="One state, μ = 0.2, σ = 0.5, a quadratic Q of the squashed action. Each dot is the "
        "gradient that one draw gives: through the action (rsample), by the score function Q ∇log "
        "π, with and without a baseline, and through an action drawn by sample.",
        see="All three estimates are right on average ({e.exact.of_mean .2f} to μ, "
        "{e.exact.of_std .2f} to σ). Through sample nothing arrives: the draw is a number "
        "without a past. The score function needs {e.draws.score.1 .0f} times as many draws as "
        "rsample for the same precision to μ in one dimension, and {e.draws.score.32 .0f} times "
        "in 32; with a baseline {e.draws.baseline.1 .0f} and {e.draws.baseline.32 .0f}.",
        follows="The r stands for reparameterised. μ and σ are learned and ε is drawn; writing u = μ + "
        "σε lets Q's own slope reach μ and σ, dimension by dimension. The score function only "
        "learns that the whole action was good, so every further dimension adds noise.",
    ),
    "f": Story(
        title="Hard against soft",
        done="A bandit with 41 actions and two peaks, {f.lower .2f} high on the left and "
        "{f.higher .2f} on the right. SAC learns it with α = 0 (nothing soft is left) and with "
        "α = {f.alpha .2f}, three seeds each.",
        see="The hard policy puts everything on one action, and on which one is a matter of the "
        "seed: the lower peak in {f.hard.wrong .0f} of three. The soft one keeps both peaks, "
        "{f.soft.left .2f} of its probability on the lower one, and is within "
        "{f.soft.apart .3f} (total variation) of exp(r/α), the optimum of reward plus α times "
        "entropy.",
        follows="Soft means that near-equal actions stay near-equally likely: when one peak goes, the "
        "other is still known. A Gaussian head cannot show it: it has a single peak "
        "before squashing, whatever α is.",
    ),
    "g": Story(
        title="All actions, or a sampled one",
        done="An Acrobot agent (three actions) in the middle of learning. The actor's gradient on "
        "one mini-batch of 128 states is computed as the losses have it, a sum over all actions, "
        "and from actions sampled from π.",
        see="With one sampled action the gradient's standard deviation is {g.score.1 .1f} times its "
        "length, with V(s) as a baseline {g.baseline.1 .2f}; it falls only with the square root "
        "of the samples. The sum over all actions has none. What stays, {g.states .2f}, comes "
        "from which states are in the mini-batch.",
        follows="With few actions, write the expectation as the sum it is: the critic gives all Q "
        "values in one pass anyway. Only where actions cannot be listed is a sample needed, and "
        "then rsample (figure e).",
    ),
    "h": Story(
        title="Old data, another policy's",
        done="A Pendulum agent learns from all data that it has ever collected, and the same agent from "
        "the newest {h.newest .0f} env steps alone; three seeds each, lines are means, bands go "
        "from the lowest seed to the highest. The middle is the mean of log π(a|s) over the buffer's "
        "actions, by the present policy, less what it was when they were taken; the random warm-up "
        "is left out.",
        see="With the whole buffer the data are {h.age.all .0f} env steps old at the end, and the "
        "present policy finds their actions e^{h.gone.all .1f} = {h.rarer.all .0f} times rarer "
        "than the policies that took them. The return rises all the same, to {h.return.all .0f}. "
        "The newest data are {h.age.newest .0f} env steps old and on average closer to the policy "
        "({h.shift.newest .1f} against {h.shift.all .1f} nats; the seeds overlap), and the return is "
        "{h.return.newest .0f}.",
        follows="Whose actions fill the buffer does not matter to the critic's target, for the next action "
        "is drawn from the present policy; no ratio of densities is needed. What the buffer covers "
        "does matter: Q is only right where there are data. On this task the wide old data are worth "
        "more than the narrow new ones.",
    ),
}

ENGLISH = Language(
    code="en",
    name="English",
    title="The entropy lab",
    lead="What entropy does in Soft Actor-Critic, shown on small agents that were really trained. Every "
    "figure and every number here is read from a CSV of `docs/lab/`. `python lab.py` makes them all again "
    "in minutes, and the same seed gives the same files.",
    headings=("What was done", "What to see", "What follows"),
    footer="Entropies are in nats, measured in the unit action box. The questions behind the figures, with "
    "formulas and lines of code: ",
    document="questions.md",
    stories=STORIES,
)
