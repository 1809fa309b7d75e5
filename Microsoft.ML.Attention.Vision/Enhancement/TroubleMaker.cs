using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Where the dark pictures of a training come from: either one by one or, by a net, a batch at a time.</summary>
internal abstract class TroubleMaker : IDisposable
{
    /// <summary>Writes the dark picture of one sample in the normalised domain. Called by several threads.</summary>
    /// <param name="sample">Which picture.</param>
    /// <param name="choice">The part of it.</param>
    /// <param name="piece">That part's pixels in normal light, which are not needed afterwards.</param>
    /// <param name="random">Random numbers of this sample and epoch.</param>
    /// <param name="dark">Receives [3, H, W].</param>
    public virtual void Darken(int sample, PieceChoice choice, Span<byte> piece, ref SampleRandom random, Span<float> dark)
    {
    }

    /// <summary>Writes the dark pictures of a whole batch.</summary>
    /// <param name="normal">The pictures in normal light, [N, 3, H, W], in the normalised domain.</param>
    /// <param name="dark">Receives the dark ones.</param>
    public virtual void Darken(float[] normal, float[] dark)
    {
    }

    public virtual void Dispose()
    {
    }
}

/// <summary>Darkens at random, as a camera in low light does.</summary>
internal sealed class DimmingTroubleMaker(Dimming dimming, ImagePreprocessing preprocessing) : TroubleMaker
{
    public override void Darken(int sample, PieceChoice choice, Span<byte> piece, ref SampleRandom random, Span<float> dark)
    {
        dimming.Apply(piece, ref random);
        preprocessing.Normalise(new PixelView(piece, preprocessing.Width, preprocessing.Height), dark);
    }
}

/// <summary>Takes real dark pictures.</summary>
internal sealed class RealTroubleMaker(LightPictures pairs, ImagePreprocessing preprocessing, bool isTiled) : TroubleMaker
{
    public override void Darken(int sample, PieceChoice choice, Span<byte> piece, ref SampleRandom random, Span<float> dark)
    {
        using var pixels = new PixelBuffer();
        pairs.DecodeDark(sample, pixels);
        choice.Cut(pixels.View, preprocessing, isTiled, piece);
        preprocessing.Normalise(new PixelView(piece, preprocessing.Width, preprocessing.Height), dark);
    }
}

/// <summary>Darkens by a trained net.</summary>
internal sealed class TroubleMakerNet(OnnxSession session, ImagePreprocessing preprocessing) : TroubleMaker
{
    private readonly RunOptions _runOptions = new();

    public override void Darken(float[] normal, float[] dark)
    {
        long[] shape = [normal.Length / preprocessing.ValueCount, 3, preprocessing.Height, preprocessing.Width];
        using var input = OrtValue.CreateTensorValueFromMemory(normal, shape);
        using var output = OrtValue.CreateTensorValueFromMemory(dark, shape);
        session.Run(_runOptions, [.. session.Inputs.Keys], [input], [session.OutputNames[0]], [output], CancellationToken.None);
    }

    public override void Dispose()
    {
        _runOptions.Dispose();
        session.Dispose();
    }
}
