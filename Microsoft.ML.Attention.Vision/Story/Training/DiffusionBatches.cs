namespace Microsoft.ML.Attention.Vision;

/// <summary>The memory of a batch.</summary>
/// <param name="count">Pictures in it.</param>
/// <param name="latentLength">The number of values of a picture's latents.</param>
/// <param name="tokenCount">The number of tokens of a caption.</param>
internal sealed class DiffusionBatch(int count, int latentLength, int tokenCount)
{
    /// <summary>Latents with noise, [N, C, h, w].</summary>
    public float[] Sample { get; } = new float[count * latentLength];

    /// <summary>What the net is to predict, [N, C, h, w].</summary>
    public float[] Target { get; } = new float[count * latentLength];

    /// <summary>How strong the noise is, [N].</summary>
    public long[] Timestep { get; } = new long[count];

    /// <summary>Captions, [N, T].</summary>
    public long[] InputIds { get; } = new long[count * tokenCount];
}

/// <summary>Makes batches of noisy latents with captions.</summary>
/// <param name="latents">The latents of the pictures.</param>
/// <param name="pictures">Their captions.</param>
/// <param name="tokenizer">Reads the captions.</param>
/// <param name="options">Batch size and share of captions that are left out.</param>
/// <param name="tokenCount">The number of tokens of a caption.</param>
/// <param name="seed">Decides, with the step, what is drawn.</param>
internal sealed class DiffusionBatches(
    PictureLatents latents, TrainingPictures pictures, ClipTokenizer tokenizer, TextToImageTrainer.Options options, int tokenCount,
    int seed)
{
    private readonly float[] _alphaBar = NoiseLevels.AlphaBar(TextToImageModel.Scheduler);

    public DiffusionBatch Create() => new(options.BatchSize, latents.Length, tokenCount);

    public Task Fill(DiffusionBatch batch, int step, CancellationToken stop) =>
        Parallel.ForAsync(0, options.BatchSize, stop, (place, _) =>
        {
            Fill(batch, step, place);
            return ValueTask.CompletedTask;
        });

    private void Fill(DiffusionBatch batch, int step, int place)
    {
        var random = new SampleRandom(seed, step, place);
        var picture = random.Next(latents.Count);
        var timestep = random.Next(_alphaBar.Length);
        var (signal, noise) = (MathF.Sqrt(_alphaBar[timestep]), MathF.Sqrt(1 - _alphaBar[timestep]));
        var source = latents[picture];
        var sample = batch.Sample.AsSpan(place * latents.Length, latents.Length);
        var target = batch.Target.AsSpan(place * latents.Length, latents.Length);
        for (var i = 0; i < source.Length; i++)
        {
            var normal = random.NextNormal();
            sample[i] = (signal * source[i]) + (noise * normal);
            target[i] = (signal * normal) - (noise * source[i]);
        }
        batch.Timestep[place] = timestep;

        var captions = pictures.CaptionsOf(picture);
        var caption = random.NextDouble() < options.CaptionDropRate ? "" : captions[random.Next(captions.Count)];
        Span<int> tokens = stackalloc int[tokenCount];
        tokenizer.Encode(caption, tokens);
        for (var i = 0; i < tokenCount; i++)
            batch.InputIds[(place * tokenCount) + i] = tokens[i];
    }
}
