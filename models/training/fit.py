"""Fits a network to features."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from labels import CANONICAL, LABELS, TO_CANONICAL
from net import Net

BATCH = 128
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 2e-2
LABEL_SMOOTHING = 0.02
MIXUP_ALPHA = 0.3
CANONICAL_WEIGHT = 1.5
EMA = 0.995
# Share of a batch that is synthesised, and what is added to a label's count of real samples when they are drawn.
SYNTHETIC_SHARE = 0.2
SYNTHETIC_PRIOR = 5

COLLECT = torch.from_numpy(np.eye(len(CANONICAL), dtype=np.float32)[TO_CANONICAL])


def masked(x, generator):
    """Shifts a batch of pictures by a band or two, and hides some bands and frames of each (SpecAugment, Park 2019)."""
    shift = int(torch.randint(-2, 3, (1,), generator=generator))
    if shift:
        x = torch.roll(x, shift, dims=2)
        if shift > 0:
            x[:, :, :shift] = 0
        else:
            x[:, :, shift:] = 0
    for dim, size, widest in ((2, x.shape[2], 8), (3, x.shape[3], 6)):
        width = torch.randint(0, widest + 1, (len(x),), generator=generator)
        start = (torch.rand(len(x), generator=generator) * (size - width)).long()
        place = torch.arange(size)
        hidden = (place >= start[:, None]) & (place < (start + width)[:, None])
        x = x.masked_fill(hidden.view((len(x), 1, size, 1) if dim == 2 else (len(x), 1, 1, size)), 0)
    return x


def loss_of(logits, target):
    """Cross-entropy of the labels, and of the probabilities summed over canonical labels: what folders are made from."""
    collect = COLLECT.to(logits.device)
    folders = -((target @ collect) * (logits.softmax(1) @ collect + 1e-7).log()).sum(1).mean()
    return F.cross_entropy(logits, target, label_smoothing=LABEL_SMOOTHING) + CANONICAL_WEIGHT * folders


def fit(features, labels, synthetic, synthetic_labels, scaling, steps, seed, device="cpu"):
    """A net fitted to features [samples, variants, values], the original first, and [synthetic, values]; returned is the
    moving average of its weights."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    net = Net().to(device, memory_format=torch.channels_last).train()
    average = Net().to(device)
    average.load_state_dict(net.state_dict())
    optimiser = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps, pct_start=0.15)
    # Rare classes are drawn more often, by the square root of how rare they are; synthetic ones as real ones.
    counts = np.bincount(labels, minlength=len(LABELS))
    weights = torch.from_numpy(counts[labels] ** -0.5)
    made = np.bincount(synthetic_labels, minlength=len(LABELS))
    synthetic_weights = torch.from_numpy(((counts + SYNTHETIC_PRIOR) ** 0.5 / np.maximum(made, 1))[synthetic_labels])
    synthetic_count = int(BATCH * SYNTHETIC_SHARE) if len(synthetic_labels) else 0
    features, synthetic = torch.from_numpy(features), torch.from_numpy(synthetic)
    everything = torch.from_numpy(np.concatenate([labels, synthetic_labels]))
    for step in range(steps):
        files = torch.multinomial(weights, BATCH - synthetic_count, True, generator=random)
        variants = torch.randint(0, features.shape[1], files.shape, generator=random)
        # Every fourth is the original.
        variants[::4] = 0
        values, drawn = features[files, variants], files
        if synthetic_count:
            others = torch.multinomial(synthetic_weights, synthetic_count, True, generator=random)
            values = torch.cat([values, synthetic[others]])
            drawn = torch.cat([files, len(labels) + others])
        picture, attack, descriptors = scaling.split(values)
        inputs = [masked(picture, random), attack, descriptors + 0.1 * torch.randn(descriptors.shape, generator=random)]
        target = F.one_hot(everything[drawn], len(LABELS)).float()
        # Mixup (Zhang 2018), one share a batch.
        share = float(np.random.default_rng([seed, step]).beta(MIXUP_ALPHA, MIXUP_ALPHA))
        share = max(share, 1 - share)
        other = torch.randperm(BATCH, generator=random)
        mix = lambda x: (share * x + (1 - share) * x[other]).to(device)
        inputs, target = [mix(x).contiguous(memory_format=torch.channels_last) if x.dim() == 4 else mix(x)
                          for x in inputs], mix(target)
        loss = loss_of(net(*inputs), target)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimiser.step()
        schedule.step()
        decay = min(EMA, (1 + step) / (10 + step))
        with torch.no_grad():
            for slow, fast in zip(average.state_dict().values(), net.state_dict().values()):
                if slow.dtype.is_floating_point:
                    slow.lerp_(fast, 1 - decay)
                else:
                    slow.copy_(fast)
    return average.cpu().eval()


@torch.no_grad()
def outputs_of(net, values, scaling):
    """Logits and embeddings of values [n, values], as arrays."""
    embeddings = torch.cat([net.embed(*scaling.split(some)) for some in torch.as_tensor(values).split(512)])
    return net.last(embeddings).numpy(), embeddings.numpy()
