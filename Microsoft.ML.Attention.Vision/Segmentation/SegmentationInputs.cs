using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Microsoft.ML.Attention.Vision;

/// <summary>
/// Feeds a segmentation model from a column of pictures: <c>x</c> [N, 3, S, S], and <c>original_size</c> [N, 2], the height and width that
/// masks are to have. The model passes the latter on.
/// </summary>
internal static class SegmentationInputs
{
    public const string Image = "x", OriginalSize = "original_size", OriginalSizeOutput = "mask_size";

    public static IReadOnlyList<TensorInput> Bind(OnnxSession session, PictureColumn pictures)
    {
        var preprocessing = new SegmentationPreprocessing((int)session.Inputs[Image].RowShape[^1]);
        // The sizes of the pictures that a reader has in its slots, by the source that it reads.
        var sizes = new ConditionalWeakTable<DataViewRow, (int Height, int Width)[]>();
        return [new ImageInput(pictures, preprocessing, sizes), new SizeInput(pictures, sizes)];
    }

    private sealed class ImageInput(
        PictureColumn pictures, SegmentationPreprocessing preprocessing, ConditionalWeakTable<DataViewRow, (int, int)[]> sizes)
        : TensorInput(Image, TensorElementType.Float, [3, preprocessing.Size, preprocessing.Size], pictures.Column.Index)
    {
        public override TensorRowReader CreateReader(DataViewRow source, int capacity) =>
            new Reader(pictures, preprocessing, sizes.GetValue(source, _ => new (int, int)[capacity]), source, capacity);

        private sealed class Reader(
            PictureColumn pictures, SegmentationPreprocessing preprocessing, (int, int)[] sizes, DataViewRow source, int capacity)
            : TensorRowReader
        {
            private readonly Func<Picture> _getter = pictures.CreateGetter(source);
            private readonly Picture[] _taken = new Picture[capacity];

            public override bool Converts => !pictures.IsDecoded;

            public override void Read(int slot, Span<byte> destination)
            {
                _taken[slot] = _getter();
                // Decoded pictures are not to be kept.
                if (!Converts)
                    Convert(slot, destination);
            }

            public override void Convert(int slot, Span<byte> destination)
            {
                using var pixels = new PixelBuffer();
                _taken[slot].Decode(pixels);
                preprocessing.Write(pixels.View, MemoryMarshal.Cast<byte, float>(destination));
                sizes[slot] = (pixels.Height, pixels.Width);
            }
        }
    }

    // Comes after the picture of the same slot.
    private sealed class SizeInput(PictureColumn pictures, ConditionalWeakTable<DataViewRow, (int Height, int Width)[]> sizes)
        : TensorInput(OriginalSize, TensorElementType.Int64, [2], pictures.Column.Index)
    {
        public override TensorRowReader CreateReader(DataViewRow source, int capacity) =>
            new Reader(pictures, sizes.GetValue(source, _ => new (int, int)[capacity]));

        private sealed class Reader(PictureColumn pictures, (int Height, int Width)[] sizes) : TensorRowReader
        {
            public override bool Converts => !pictures.IsDecoded;

            public override void Read(int slot, Span<byte> destination)
            {
                if (!Converts)
                    Convert(slot, destination);
            }

            public override void Convert(int slot, Span<byte> destination)
            {
                var sides = MemoryMarshal.Cast<byte, long>(destination);
                (sides[0], sides[1]) = (sizes[slot].Height, sizes[slot].Width);
            }
        }
    }
}
