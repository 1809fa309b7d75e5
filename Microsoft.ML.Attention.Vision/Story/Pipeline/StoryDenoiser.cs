namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Denoises all pictures of a story in lock-step: in each step the pictures that make up characters leave keys and values of theirs in
/// banks, the others look at them, and the banks are gone before the next step.
/// </summary>
internal sealed class StoryDenoiser(StoryUnet unet, Scheduler scheduler, ConsistencyPlan plan, UnetConditions conditions, int picturesAtOnce)
{
    /// <param name="writes">The pictures that make up each character.</param>
    /// <param name="reads">Other pictures, each with the characters, by their places in <paramref name="writes"/>, that it looks at.</param>
    /// <param name="stepDone">Is told each step when it is done.</param>
    /// <param name="cancellation">Ends the work.</param>
    public void Run(
        IReadOnlyList<StoryPass> writes, IReadOnlyList<(StoryPass Pass, int[] Characters)> reads, Action<int>? stepDone,
        CancellationToken cancellation)
    {
        var alike = reads.GroupBy(read => string.Join(' ', read.Characters)).ToArray();
        for (var step = 0; step < scheduler.Timesteps.Count; step++)
        {
            foreach (var picture in writes.Concat(reads.Select(read => read.Pass)).SelectMany(pass => pass.Pictures))
                picture.Begin(step);
            var consistency = plan.Step(step);
            var banks = new List<TokenBank>();
            try
            {
                foreach (var write in writes)
                    banks.Add(Write(write, step, consistency, cancellation));
                foreach (var group in alike)
                {
                    LatentPicture[] pictures = [.. group.SelectMany(read => read.Pass.Pictures)];
                    TokenBank[] characters = [.. group.First().Characters.Select(character => banks[character])];
                    Read(pictures, characters, step, consistency, cancellation);
                }
            }
            finally
            {
                banks.ForEach(bank => bank.Dispose());
            }
            foreach (var pass in writes.Concat(reads.Select(read => read.Pass)))
                Advance(pass, step);
            stepDone?.Invoke(step);
        }
    }

    // Slices of a batch that is too large look at those before them.
    private TokenBank Write(StoryPass pass, int step, ConsistencyStep consistency, CancellationToken cancellation)
    {
        var bank = TokenBank.Empty;
        for (var first = 0; first < pass.Pictures.Count; first += picturesAtOnce)
        {
            var slice = first..Math.Min(first + picturesAtOnce, pass.Pictures.Count);
            var batch = Batch([.. pass.Pictures.Take(slice)], step, consistency.Writes) with
            {
                Mask = consistency.IsShared ? (level, length) => consistency.Samples[level].Mask(slice, length) : null,
                Shared = consistency.IsShared ? level => consistency.Samples[level].Indices(slice) : null,
            };
            var (before, written) = (bank, TokenBank.Empty);
            try
            {
                written = unet.Predict(batch, conditions, before, cancellation);
                bank = before.IsEmpty ? written : unet.Join([before, written], cancellation);
            }
            finally
            {
                before.Dispose();
                if (bank != written)
                    written.Dispose();
            }
        }
        return bank;
    }

    private void Read(LatentPicture[] pictures, TokenBank[] characters, int step, ConsistencyStep consistency, CancellationToken cancellation)
    {
        using var joined = characters.Length > 1 && consistency.IsShared ? unet.Join(characters, cancellation) : TokenBank.Empty;
        var bank = characters.Length == 1 ? characters[0] : joined;
        // Who looks at nobody is made as the model makes it.
        var isOpen = bank.IsEmpty ? new bool[consistency.Reads.Length] : consistency.Reads;
        foreach (var batch in pictures.Chunk(picturesAtOnce))
            unet.Predict(Batch(batch, step, isOpen), conditions, bank, cancellation).Dispose();
    }

    private UnetBatch Batch(LatentPicture[] pictures, int step, bool[] isOpen) =>
        new(pictures, scheduler.Timesteps[step], scheduler.InputScale(step), isOpen, null, null);

    private void Advance(StoryPass pass, int step)
    {
        var count = scheduler.DrawsNoise ? conditions.LatentCount : 0;
        var noise = new float[pass.Pictures.Count * count];
        if (scheduler.DrawsNoise)
            pass.Noise.FillNormal(noise);
        foreach (var (i, picture) in pass.Pictures.Index())
        {
            scheduler.Step(step, picture.Prediction, picture.Latents, picture.Original, noise.AsSpan(i * count, count));
        }
    }
}
