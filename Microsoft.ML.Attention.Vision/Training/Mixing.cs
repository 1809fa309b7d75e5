using System.Drawing;
using System.Numerics;
using System.Runtime.InteropServices;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Mixes the pictures of a batch with each other, and their targets likewise: mixup (Zhang et al., ICLR 2018) blends two pictures, CutMix
/// (Yun et al., ICCV 2019) puts a rectangle of one into the other. As in timm one of the two, and one share, is drawn for a batch, and the
/// first picture is mixed with the last, the second with the last but one, ...
/// </summary>
public sealed record Mixing
{
    /// <summary>What recent vision transformers are trained with: mixup of 0.8 and CutMix of 1 in turn.</summary>
    public static Mixing Usual { get; } = new() { MixupAlpha = 0.8, CutMixAlpha = 1 };

    /// <summary>The share of a picture in mixup is drawn from Beta(a, a) of this a; 0 for no mixup.</summary>
    public double MixupAlpha { get; init; }

    /// <summary>The share of a picture's area in CutMix is drawn from Beta(a, a) of this a; 0 for no CutMix.</summary>
    public double CutMixAlpha { get; init; }

    /// <summary>The probability that a batch is mixed at all, in [0, 1].</summary>
    public double Probability { get; init; } = 1;

    /// <summary>The probability that a mixed batch gets CutMix where both are on, in [0, 1].</summary>
    public double SwitchProbability { get; init; } = 0.5;

    internal void Validate()
    {
        Check(MixupAlpha >= 0, nameof(MixupAlpha), MixupAlpha, "0 or more");
        Check(CutMixAlpha >= 0, nameof(CutMixAlpha), CutMixAlpha, "0 or more");
        Check(MixupAlpha + CutMixAlpha > 0, nameof(MixupAlpha), MixupAlpha, $"positive where {nameof(CutMixAlpha)} is 0");
        Check(Probability is >= 0 and <= 1, nameof(Probability), Probability, "in [0, 1]");
        Check(SwitchProbability is >= 0 and <= 1, nameof(SwitchProbability), SwitchProbability, "in [0, 1]");

        static void Check(bool valid, string name, double value, string expected)
        {
            if (!valid)
                throw new ArgumentException($"{name} of the mixing is {value}; it must be {expected}.");
        }
    }

    /// <summary>Draws how a batch is mixed.</summary>
    internal Mix Draw(SampleRandom random, int width, int height)
    {
        if (random.NextDouble() >= Probability)
            return Mix.None;
        var cuts = MixupAlpha == 0 || (CutMixAlpha > 0 && random.NextDouble() < SwitchProbability);
        var share = random.NextBeta(cuts ? CutMixAlpha : MixupAlpha);
        return cuts ? Cut(ref random, share, width, height) : new((float)share, null);
    }

    // The rectangle may reach beyond the picture; the share is that of what is left inside.
    private static Mix Cut(ref SampleRandom random, double share, int width, int height)
    {
        var ratio = Math.Sqrt(1 - share);
        var (halfWidth, halfHeight) = ((int)(width * ratio) / 2, (int)(height * ratio) / 2);
        var (x, y) = (random.Next(width), random.Next(height));
        var box = Rectangle.FromLTRB(
            Math.Max(x - halfWidth, 0), Math.Max(y - halfHeight, 0), Math.Min(x + halfWidth, width), Math.Min(y + halfHeight, height));
        return new((float)(1 - (double)box.Width * box.Height / (width * height)), box);
    }
}

/// <summary>How two pictures of a batch are mixed with each other.</summary>
/// <param name="Share">What a picture keeps of itself; the rest is the other's.</param>
/// <param name="Box">The rectangle that the two exchange; null to blend them.</param>
internal readonly record struct Mix(float Share, Rectangle? Box)
{
    public static Mix None => new(1, null);

    /// <summary>Mixes two pictures <c>[3, height, width]</c> in place.</summary>
    public void Apply(Span<float> first, Span<float> second, int width, int height)
    {
        if (Box is { } box)
            Exchange(first, second, box, width, height);
        else if (Share < 1)
            Blend(first, second, Share);
    }

    private static void Exchange(Span<float> first, Span<float> second, Rectangle box, int width, int height)
    {
        for (var row = 0; row < 3 * box.Height; row++)
        {
            var start = (row / box.Height * height + box.Top + row % box.Height) * width + box.Left;
            var ours = first.Slice(start, box.Width);
            var theirs = second.Slice(start, box.Width);
            for (var x = 0; x < ours.Length; x++)
                (ours[x], theirs[x]) = (theirs[x], ours[x]);
        }
    }

    private static void Blend(Span<float> first, Span<float> second, float share)
    {
        var ours = MemoryMarshal.Cast<float, Vector<float>>(first);
        var theirs = MemoryMarshal.Cast<float, Vector<float>>(second);
        for (var i = 0; i < ours.Length; i++)
            (ours[i], theirs[i]) = (ours[i] * share + theirs[i] * (1 - share), theirs[i] * share + ours[i] * (1 - share));
        for (var i = ours.Length * Vector<float>.Count; i < first.Length; i++)
            (first[i], second[i]) = (first[i] * share + second[i] * (1 - share), second[i] * share + first[i] * (1 - share));
    }
}
