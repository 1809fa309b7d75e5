using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>What an enhancing model makes of its pictures. Saved with the model.</summary>
/// <param name="ColumnName">The column of enhanced pictures.</param>
/// <param name="Fit">How pictures of any size go through the model.</param>
/// <param name="TileOverlap">The least number of pixels that neighbouring tiles share.</param>
internal sealed record LowLightOutput(string ColumnName, LowLightFit Fit, int TileOverlap)
{
    /// <exception cref="ArgumentException">The settings contradict each other or the model's size.</exception>
    public void Validate(ImagePreprocessing preprocessing)
    {
        if (!Enum.IsDefined(Fit))
            throw new ArgumentException($"{Fit} is not a way to fit pictures to the model.");
        var most = Math.Min(preprocessing.Height, preprocessing.Width) / 2;
        if (TileOverlap < 0 || TileOverlap > most)
            throw new ArgumentException($"A tile overlap of {TileOverlap} pixels is not between 0 and {most}, half of the model's size.");
    }

    public void Save(ModelSaveContext context)
    {
        context.SaveNonEmptyString(ColumnName);
        context.Writer.Write((int)Fit);
        context.Writer.Write(TileOverlap);
    }

    public static LowLightOutput Load(ModelLoadContext context) =>
        new(context.LoadNonEmptyString(), (LowLightFit)context.Reader.ReadInt32(), context.Reader.ReadInt32());
}
