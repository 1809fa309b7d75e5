using System.Drawing;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Feeds a detector from a column of pictures: <c>image</c> [N, 3, H, W], <c>size</c> and <c>original_size</c> [N, 2]. Height and width are
/// those that the pictures of the batch need.
/// </summary>
internal sealed class DetectionInputs
{
    private const string Image = "image", Size = "size", OriginalSize = "original_size";

    private readonly PictureColumn _pictures;
    private readonly DetectionPreprocessing _preprocessing;

    // The sizes of the pictures that a reader has in its slots, by the source that it reads.
    private readonly ConditionalWeakTable<DataViewRow, Sizes> _sizes = [];

    private DetectionInputs(PictureColumn pictures, DetectionPreprocessing preprocessing) =>
        (_pictures, _preprocessing) = (pictures, preprocessing);

    /// <exception cref="InvalidOperationException">The model is not a detector, or has a fixed size.</exception>
    public static IReadOnlyList<TensorInput> Bind(OnnxSession session, PictureColumn pictures, DetectionPreprocessing preprocessing)
    {
        var inputs = new DetectionInputs(pictures, preprocessing);
        Check(Image, TensorElementType.Float, [3, -1, -1]);
        Check(Size, TensorElementType.Int64, [2]);
        Check(OriginalSize, TensorElementType.Int64, [2]);
        return
        [
            new ImageInput(inputs), new SizeInput(inputs, Size, isOriginal: false), new SizeInput(inputs, OriginalSize, isOriginal: true),
        ];

        void Check(string name, TensorElementType type, long[] rowShape)
        {
            if (!session.Inputs.TryGetValue(name, out var input))
                throw new InvalidOperationException($"A detector has an input '{name}'; this model has "
                    + $"{string.Join(", ", session.Inputs.Keys.Select(known => $"'{known}'"))}. PlainDetr.Build makes detectors.");
            if (input.ElementType != type || !input.RowShape.SequenceEqual(rowShape))
                throw new InvalidOperationException($"Input '{name}' of the detector is {input.ElementType} {input.ShapeText}; expected is "
                    + $"{type} [N, {string.Join(", ", rowShape.Select(side => side < 0 ? "any" : $"{side}"))}].");
        }
    }

    private sealed record Sizes(Size[] Resized, Size[] Original);

    private Sizes SizesOf(DataViewRow source, int capacity) => _sizes.GetValue(source, _ => new(new Size[capacity], new Size[capacity]));

    private sealed class ImageInput(DetectionInputs inputs) : TensorInput(
        Image, TensorElementType.Float, [3, inputs._preprocessing.LargestSide, inputs._preprocessing.LargestSide],
        inputs._pictures.Column.Index)
    {
        public override TensorRowReader CreateReader(DataViewRow source, int capacity) => new Reader(inputs, source, capacity);

        private sealed class Reader(DetectionInputs inputs, DataViewRow source, int capacity) : TensorRowReader
        {
            private readonly Func<Picture> _getter = inputs._pictures.CreateGetter(source);
            private readonly Picture[] _taken = new Picture[capacity];
            private readonly Sizes _sizes = inputs.SizesOf(source, capacity);

            public override bool Converts => !inputs._pictures.IsDecoded;

            public override void Read(int slot, Span<byte> destination)
            {
                (_sizes.Resized[slot], _sizes.Original[slot]) = (default, default);
                _taken[slot] = _getter();
                // Decoded pictures are not to be kept.
                if (!Converts)
                    Convert(slot, destination);
            }

            public override void Convert(int slot, Span<byte> destination)
            {
                using var pixels = new PixelBuffer();
                _taken[slot].Decode(pixels);
                var (width, height) = inputs._preprocessing.ResizedSize(pixels.Width, pixels.Height);
                inputs._preprocessing.Write(
                    pixels.View, new(width, height), MemoryMarshal.Cast<byte, float>(destination), inputs._preprocessing.LargestSide);
                (_sizes.Resized[slot], _sizes.Original[slot]) = (new(width, height), new(pixels.Width, pixels.Height));
            }

            public override long[] RowShape(int rows) =>
            [
                3,
                Math.Max(DetectionPreprocessing.LeastBatchSide, _sizes.Resized.Take(rows).Max(size => size.Height)),
                Math.Max(DetectionPreprocessing.LeastBatchSide, _sizes.Resized.Take(rows).Max(size => size.Width)),
            ];
        }
    }

    private sealed class SizeInput(DetectionInputs inputs, string name, bool isOriginal)
        : TensorInput(name, TensorElementType.Int64, [2], inputs._pictures.Column.Index)
    {
        public override TensorRowReader CreateReader(DataViewRow source, int capacity) => new Reader(inputs, isOriginal, source, capacity);

        // Comes after the image of the same slot.
        private sealed class Reader(DetectionInputs inputs, bool isOriginal, DataViewRow source, int capacity) : TensorRowReader
        {
            private readonly Sizes _sizes = inputs.SizesOf(source, capacity);

            public override bool Converts => !inputs._pictures.IsDecoded;

            public override void Read(int slot, Span<byte> destination)
            {
                if (!Converts)
                    Convert(slot, destination);
            }

            public override void Convert(int slot, Span<byte> destination)
            {
                var size = (isOriginal ? _sizes.Original : _sizes.Resized)[slot];
                var sides = MemoryMarshal.Cast<byte, long>(destination);
                (sides[0], sides[1]) = (size.Height, size.Width);
            }
        }
    }
}
