"""Everything that the page says in Traditional Chinese as written in Taiwan."""

from entropy_lab.texts import Language, Story

STORIES = {
    "a": Story(
        title="α 是一個恆溫器",
        done="一個 CartPole agent，目標熵 H̄ = {a.target .3f} nat。訓練途中兩次讓 actor 停止學習（灰"
        "色區間），並把 logits 放大或縮小：第一次讓熵固定在 {a.narrow.entropy .2f} nat，低於目"
        "標；第二次固定在 {a.wide.entropy .2f} nat，高於目標。critic 與 α 照常學習。",
        see="壓在目標之下時，α 從 {a.narrow.alpha_before .2f} 升到 {a.narrow.alpha_end .2f}；Q 把往"
        "後的熵乘上 α 一併算進去，於是跟著變；一放手，策略就變寬，甚至衝過目標。撐在目標之上時"
        "一切反過來：α 從 {a.wide.alpha_before .2f} 降到 {a.wide.alpha_end .2f}。",
        follows="熵低於目標，α 上升；高於目標，α 下降。先後順序由損失函數決定：α 看的是熵，Q 看的是 α，"
        "策略則兩者都看。",
    ),
    "b": Story(
        title="目標熵該設在哪裡",
        done="CartPole 有兩個動作，所以任何策略的熵都不超過 log 2 = {b.log_n .3f} nat。五種目標熵，"
        "各三個 seed，其餘條件完全相同；線是平均，色帶是三個 seed 的最低到最高。本框架會拒絕 −1 "
        "這個目標；這裡刻意換上一個宣稱達得到的 head，讓它通過檢查。",
        see="0.5 log n 與 ε-peaked 都達得到，α 也穩定下來（{b.alpha.ratio_0.5 .2g} 與 "
        "{b.alpha.eps_peaked .2g}）。log n 只有均勻策略達得到，所以 α 一路升到 "
        "{b.alpha.log_n .2g}，回報最後是 {b.return.log_n .0f}；0.98 log n 的 α 是 "
        "{b.alpha.ratio_0.98 .2g}，回報 {b.return.ratio_0.98 .0f}，而 0.5 log n 的回報是 "
        "{b.return.ratio_0.5 .0f}。−1 低於 0，沒有任何離散策略辦得到：α 掉到 "
        "{b.alpha.minus_one .2g}，等於沒有熵這一項。",
        follows="目標熵必須留給策略足夠的空間，去做任務所獎勵的選擇。目標若超出 head 的範圍，α 永遠不會"
        "穩定，最後的數值只反映訓練了多久。",
    ),
    "c": Story(
        title="固定、退火、自動調整",
        done="α 全程固定為 0.2；在整段訓練中由 1 指數退火到 0.01；以及自動調整。各三個 seed；線是平"
        "均，色帶是最低到最高。",
        see="Pendulum 最後的回報：固定 {c.return.pendulum.fixed .0f}、退火 "
        "{c.return.pendulum.anneal .0f}、自動 {c.return.pendulum.auto .0f}。CartPole："
        "{c.return.cartpole.fixed .0f}、{c.return.cartpole.anneal .0f}、"
        "{c.return.cartpole.auto .0f}。自動調整的 α 在前者停在 {c.alpha.pendulum.auto .2g}，在"
        "後者停在 {c.alpha.cartpole.auto .2g}。",
        follows="固定的 α 只適合某一種獎勵尺度；退火的 α 還得配合訓練的長度。自動調整兩者都不必知道，只"
        "要告訴它目標熵，它在每個任務上會找到不同的 α。",
    ),
    "d": Story(
        title="σ、高斯的熵，以及真正算數的熵",
        done="tanh_normal 先抽 u = μ + σε，再以 a = tanh(u) 行動。對每個 σ，動作的熵是 head 自己的 "
        "−log π 的平均，用數值積分算出。",
        see="μ = 0 且 σ 很小時，tanh 幾乎不起作用，½ log(2πeσ²) 是對的。σ = {d.one.std .2f} 時公式"
        "說 {d.one.gaussian .2f} nat，實際是 {d.one.true .2f}。實際的熵在 σ = {d.best_std .2f} "
        "時最大，接近 log 2，之後又下降：太寬的高斯會被擠到動作範圍的兩端。σ = "
        "{d.large.std .1f} 時公式說 {d.large.gaussian .2f}，實際是 {d.large.true .2f}。",
        follows="½ log(2πeσ²) 是 u 的熵，不是動作的熵。它是上界，但實際的熵下降時它還一直往上走；μ 不為 "
        "0 時，就算 σ 很小也不準。σ 本身根本不是熵。SAC 用的是壓縮後動作的 −log π。",
    ),
    "e": Story(
        title="rsample 的 r 做了什麼",
        done="單一狀態，μ = 0.2、σ = 0.5，Q 是壓縮後動作的二次函數。每個點是抽一次樣得到的梯度：穿過"
        "動作（rsample）、用 score function（Q ∇log π，有與沒有 baseline（基準）），以及穿過 sample 抽出的"
        "動作。",
        see="前三種估計平均起來都對（對 μ 是 {e.exact.of_mean .2f}，對 σ 是 {e.exact.of_std .2f}）。"
        "經由 sample 什麼也傳不過去：抽出來的數字不記得自己怎麼來的。要得到同樣精確的 μ 的梯度，"
        "score function 在一維需要 rsample 的 {e.draws.score.1 .0f} 倍樣本，在 32 維需要 "
        "{e.draws.score.32 .0f} 倍；加上 baseline 則是 {e.draws.baseline.1 .0f} 倍與 "
        "{e.draws.baseline.32 .0f} 倍。",
        follows="r 是 reparameterised（重參數化）。μ 與 σ 是學出來的，ε 是抽出來的；寫成 u = μ + σε，Q "
        "的斜率就能逐維傳到 μ 與 σ。score function 只知道整個動作好不好，所以每多一維就多一份雜"
        "訊。",
    ),
    "f": Story(
        title="硬與軟",
        done="一個有 41 個動作、兩個峰的 bandit，左峰高 {f.lower .2f}，右峰高 {f.higher .2f}。SAC 分"
        "別以 α = 0（完全不軟）與 α = {f.alpha .2f} 學習，各三個 seed。",
        see="硬策略把機率全押在一個動作上，押在哪一個要看 seed：三個裡有 {f.hard.wrong .0f} 個停在"
        "較低的峰。軟策略兩個峰都留著，較低的峰分到 {f.soft.left .2f} 的機率，與 exp(r/α) 的總"
        "變異距離不超過 {f.soft.apart .3f}；後者正是「獎勵加上 α 倍的熵」的最佳解。",
        follows="軟的意思是：價值差不多的動作，機率也差不多；哪天一個峰不見了，另一個峰還在。高斯 head "
        "做不到這件事：壓縮之前，不論 α 多大，它都只有一個峰。",
    ),
    "g": Story(
        title="對所有動作加總，還是抽一個",
        done="一個學到一半的 Acrobot agent（三個動作）。在同一個 128 個狀態的 mini-batch 上計算 "
        "actor 的梯度：一種照損失函數的寫法對所有動作加總，另一種從 π 抽動作來估計。",
        see="每個狀態抽一個動作時，梯度的標準差是它長度的 {g.score.1 .1f} 倍；以 V(s) 為 baseline（基準）則"
        "是 {g.baseline.1 .2f} 倍；而且只隨樣本數的平方根下降。對所有動作加總則沒有雜訊。剩下的 "
        "{g.states .2f} 倍來自 mini-batch 抽到哪些狀態。",
        follows="動作不多時，期望值就老實寫成加總：反正 critic 一次就給出全部的 Q 值。只有動作列舉不完"
        "時才需要抽樣，而那時該用 rsample（圖 e）。",
    ),
    "h": Story(
        title="別的策略留下的舊資料",
        done="一個 Pendulum agent 用它蒐集過的全部資料學習，另一個完全相同、但重播緩衝區（replay buffer）"
        "只留最新的 {h.newest .0f} 個環境步；各三個 seed，線是平均，色帶是最低到最高。中間那張圖是緩衝區裡"
        "動作的 log π(a|s)：用目前的策略算，減去當初執行時的值，再取平均；隨機暖身的資料不計。",
        see="保留全部資料時，最後 mini-batch 的資料平均是 {h.age.all .0f} 步之前收集的；這些動作在目前的"
        "策略下，比在當初的策略下罕見 e^{h.gone.all .1f} = {h.rarer.all .0f} 倍。回報照樣上升，到 "
        "{h.return.all .0f}。只留最新資料時，資料平均是 {h.age.newest .0f} 步之前收集的，也離目前的策略較近"
        "（{h.shift.newest .1f} 對 {h.shift.all .1f} nat，但各 seed 的範圍有重疊），回報卻只有 "
        "{h.return.newest .0f}。",
        follows="緩衝區裡的動作是誰選的，對 critic 的目標值沒有影響，因為下一個動作由目前的策略重新抽出；不"
        "需要用機率密度的比值來修正。真正要緊的是資料涵蓋了哪些地方：沒有資料的地方，Q 就不準。在這"
        "個任務上，廣而舊的資料勝過窄而新的資料。",
    ),
}

CHINESE = Language(
    code="zh-Hant-TW",
    name="繁體中文",
    title="熵的實驗室",
    lead="在 Soft Actor-Critic 裡，熵到底做了什麼？這裡用真正訓練出來的小型 agent 來看。每張圖、每個數字都取"
    "自 `docs/lab/` 的 CSV；`python lab.py` 幾分鐘就能全部重做一遍，seed 相同，結果就相同。",
    headings=("做了什麼", "看到什麼", "由此可知"),
    footer="熵的單位是 nat，在動作正規化到 [−1, 1] 之後計算。圖背後的問題、公式與程式碼：",
    document="questions.zh-TW.md",
    stories=STORIES,
)
