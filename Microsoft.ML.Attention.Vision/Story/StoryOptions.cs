using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>How a story is made of its lines. The defaults are those of StoryDiffusion's application for little memory.</summary>
public sealed record StoryOptions
{
    /// <summary>What noise, samples and pages are drawn from, as by PyTorch's CPU generator and Python's <c>random</c>; -1 for a new one each time.</summary>
    public long Seed { get; init; }

    /// <summary>The number of steps of denoising.</summary>
    public int StepCount { get; init; } = 35;

    /// <summary>How much more pictures follow their prompts than what they must not look like; none up to 1.</summary>
    public float Guidance { get; init; } = 5;

    /// <summary>Height of pictures in pixels, a multiple of 32; null for what the model was trained on.</summary>
    public int? Height { get; init; }

    /// <summary>Width of pictures in pixels, a multiple of 32; null for what the model was trained on.</summary>
    public int? Width { get; init; }

    /// <summary>How noise becomes a picture.</summary>
    public StoryScheduler Scheduler { get; init; } = StoryScheduler.Ddim;

    /// <summary>How pictures are kept alike.</summary>
    public StoryConsistency Consistency { get; init; } = StoryConsistency.Gathered;

    /// <summary>
    /// The share of a picture's tokens that others see, for each resolution from the lowest one that has attention; the last counts for all
    /// that follow.
    /// </summary>
    public IReadOnlyList<float> TokenShares { get; init; } = [0.5f];

    /// <summary>In how many pictures, in which it is alone, each character is made up: the others agree with them. 1 to 4 in StoryDiffusion.</summary>
    public int IdentityCount { get; init; } = 1;

    /// <summary>
    /// Whether all pictures start from the noise of the first, as in StoryDiffusion's application for little memory; else each has its own.
    /// </summary>
    public bool SameNoise { get; init; }

    /// <summary>The words around each prompt and against.</summary>
    public StoryStyle Style { get; init; } = StoryStyle.None;

    /// <summary>What pictures must not look like.</summary>
    public string NegativePrompt { get; init; } = "";

    /// <summary>Whether FreeU (Si et al., arXiv 2309.11497) changes the UNet, as in StoryDiffusion's applications.</summary>
    public bool FreeU { get; init; } = true;

    /// <summary>
    /// Whether what a prompt says and what it must not say are computed one after the other: half the memory, the same pictures.
    /// </summary>
    public bool GuidanceApart { get; init; }

    /// <summary>Height and width in pixels of the tiles in which pictures are decoded, for little memory; null for whole pictures.</summary>
    public int? DecodeTileSize { get; init; }

    /// <summary>
    /// The share of the steps, 30 at most, in which pictures follow the text alone before reference photos take part: the more, the more
    /// of the style and the less of the person. 0.2 in PhotoMaker.
    /// </summary>
    public float TextOnlyShare { get; init; } = 0.2f;

    /// <summary>How pictures come on pages.</summary>
    public StoryLayout Layout { get; init; } = StoryLayout.Classic;

    /// <summary>Whether captions are written on pages.</summary>
    public bool Captions { get; init; } = true;

    /// <exception cref="ArgumentException">A setting is out of its range.</exception>
    internal void Validate()
    {
        Check(Seed >= -1, nameof(Seed), $"is {Seed}; it is 0 or more, or -1");
        Check(StepCount > 0, nameof(StepCount), $"is {StepCount}; it is at least 1");
        Check(float.IsFinite(Guidance), nameof(Guidance), $"is {Guidance}");
        Check(Height is null or > 0 && Height % SizeUnit is null or 0, nameof(Height), $"is {Height}; it is a multiple of {SizeUnit}");
        Check(Width is null or > 0 && Width % SizeUnit is null or 0, nameof(Width), $"is {Width}; it is a multiple of {SizeUnit}");
        Check(Enum.IsDefined(Scheduler), nameof(Scheduler), $"is {Scheduler}");
        Check(Enum.IsDefined(Consistency), nameof(Consistency), $"is {Consistency}");
        Check(Enum.IsDefined(Layout), nameof(Layout), $"is {Layout}");
        Check(TokenShares.Count > 0 && TokenShares.All(share => share is >= 0 and <= 1), nameof(TokenShares),
            $"is [{string.Join(", ", TokenShares)}]; it has one number or more, each from 0 to 1");
        Check(IdentityCount > 0, nameof(IdentityCount), $"is {IdentityCount}; it is at least 1");
        Check(TextOnlyShare is >= 0 and <= 1, nameof(TextOnlyShare), $"is {TextOnlyShare}; it is from 0 to 1");
        Check(DecodeTileSize is null or >= SizeUnit, nameof(DecodeTileSize), $"is {DecodeTileSize}; it is at least {SizeUnit}");
    }

    internal const int SizeUnit = 32;

    private const int MostTextOnlySteps = 30;

    /// <summary>The first step in which reference photos take part.</summary>
    internal int FirstStepOfPhotos => Math.Min(MostTextOnlySteps, (int)(TextOnlyShare * StepCount)) + 1;

    internal float TokenShare(int level) => TokenShares[Math.Min(level, TokenShares.Count - 1)];

    internal void Save(ModelSaveContext context)
    {
        var writer = context.Writer;
        writer.Write(Seed);
        writer.Write(StepCount);
        writer.Write(Guidance);
        writer.Write(Height ?? 0);
        writer.Write(Width ?? 0);
        writer.Write((int)Scheduler);
        writer.Write((int)Consistency);
        writer.Write(TokenShares.Count);
        foreach (var share in TokenShares)
            writer.Write(share);
        writer.Write(IdentityCount);
        writer.Write(SameNoise);
        context.SaveString(Style.Name);
        context.SaveString(Style.Template);
        context.SaveString(Style.NegativePrompt);
        context.SaveString(NegativePrompt);
        writer.Write(FreeU);
        writer.Write(GuidanceApart);
        writer.Write(DecodeTileSize ?? 0);
        writer.Write((int)Layout);
        writer.Write(Captions);
        writer.Write(TextOnlyShare);
    }

    internal static StoryOptions Load(ModelLoadContext context)
    {
        var reader = context.Reader;
        return new()
        {
            Seed = reader.ReadInt64(),
            StepCount = reader.ReadInt32(),
            Guidance = reader.ReadSingle(),
            Height = SizeOrNull(reader.ReadInt32()),
            Width = SizeOrNull(reader.ReadInt32()),
            Scheduler = (StoryScheduler)reader.ReadInt32(),
            Consistency = (StoryConsistency)reader.ReadInt32(),
            TokenShares = [.. Enumerable.Range(0, reader.ReadInt32()).Select(_ => reader.ReadSingle())],
            IdentityCount = reader.ReadInt32(),
            SameNoise = reader.ReadBoolean(),
            Style = new(context.LoadString(), context.LoadString(), context.LoadString()),
            NegativePrompt = context.LoadString(),
            FreeU = reader.ReadBoolean(),
            GuidanceApart = reader.ReadBoolean(),
            DecodeTileSize = SizeOrNull(reader.ReadInt32()),
            Layout = (StoryLayout)reader.ReadInt32(),
            Captions = reader.ReadBoolean(),
            TextOnlyShare = reader.ReadSingle(),
        };
    }

    private static int? SizeOrNull(int size) => size == 0 ? null : size;

    private static void Check(bool holds, string property, string reason)
    {
        if (!holds)
            throw new ArgumentException($"{nameof(StoryOptions)}.{property} {reason}.");
    }
}
