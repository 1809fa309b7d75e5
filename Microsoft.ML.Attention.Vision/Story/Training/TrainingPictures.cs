using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Pictures of one size in memory, three bytes a pixel, with their captions where those are asked for.</summary>
internal sealed class TrainingPictures
{
    private readonly List<byte[]> _pictures = [];
    private readonly List<string[]> _captions = [];

    private TrainingPictures()
    {
    }

    public int Count => _pictures.Count;

    public int Height { get; private set; }

    public int Width { get; private set; }

    /// <summary>The number of values of one picture, [3, H, W].</summary>
    public int ValueCount => 3 * Height * Width;

    /// <summary>Reads a data set.</summary>
    /// <param name="data">The rows.</param>
    /// <param name="options">Names the column of pictures.</param>
    /// <param name="captionColumnName">A column of text, or of vectors of text: several captions of one picture. Null for none.</param>
    /// <param name="divisor">What both sides must be multiples of.</param>
    /// <exception cref="InvalidOperationException">There is no such column, or there are no rows.</exception>
    /// <exception cref="InvalidDataException">
    /// A picture cannot be decoded or is of another size than the first; the message names row, picture and reason.
    /// </exception>
    public static TrainingPictures Read(IDataView data, GenerativeTrainerOptions options, string? captionColumnName, int divisor)
    {
        var read = new TrainingPictures();
        var images = new PictureColumn(data.Schema, options.ImageColumnName, options.ImageFolder);
        DataViewSchema.Column? captions = captionColumnName is null ? null : CaptionColumn(data.Schema, captionColumnName);
        using var cursor = data.GetRowCursor(captions is null ? [images.Column] : [images.Column, captions.Value]);
        using var pixels = new PixelBuffer();
        var imageGetter = images.CreateGetter(cursor);
        var captionGetter = captions is null ? null : CaptionGetter(cursor, captions.Value);
        while (cursor.MoveNext())
        {
            options.Cancellation.ThrowIfCancellationRequested();
            try
            {
                imageGetter().Decode(pixels);
                read.Add(pixels.View, divisor);
            }
            catch (InvalidDataException e)
            {
                throw new InvalidDataException($"row {cursor.Position}: {e.Message}", e);
            }
            if (captionGetter is not null)
                read._captions.Add(captionGetter());
        }
        return read.Count > 0 ? read
            : throw new InvalidOperationException($"There are no pictures in column '{options.ImageColumnName}' to train on.");
    }

    /// <summary>The captions of all pictures.</summary>
    public IEnumerable<string> Captions => _captions.SelectMany(captions => captions);

    /// <summary>All captions of a picture, at least one.</summary>
    public IReadOnlyList<string> CaptionsOf(int index) => _captions[index];

    /// <summary>A picture as [3, H, W] in [-1, 1].</summary>
    public void CopyTo(int index, Span<float> values)
    {
        ReadOnlySpan<byte> picture = _pictures[index];
        var plane = Height * Width;
        for (var i = 0; i < plane; i++)
        {
            values[i] = (picture[3 * i] / 127.5f) - 1;
            values[plane + i] = (picture[(3 * i) + 1] / 127.5f) - 1;
            values[(2 * plane) + i] = (picture[(3 * i) + 2] / 127.5f) - 1;
        }
    }

    private void Add(PixelView view, int divisor)
    {
        if (_pictures.Count == 0)
        {
            (Height, Width) = (view.Height, view.Width);
            if (Height % divisor != 0 || Width % divisor != 0)
            {
                throw new InvalidDataException(
                    $"the picture has {Width} x {Height} pixels; both must be multiples of {divisor}, by which the nets shrink it");
            }
        }
        if ((view.Height, view.Width) != (Height, Width))
            throw new InvalidDataException($"the picture has {view.Width} x {view.Height} pixels, the first one {Width} x {Height}");
        var picture = new byte[ValueCount];
        for (int y = 0, to = 0; y < Height; y++)
        {
            var row = view.Row(y);
            for (var from = 0; from < row.Length; from += PixelView.BytesPerPixel, to += 3)
                row.Slice(from, 3).CopyTo(picture.AsSpan(to));
        }
        _pictures.Add(picture);
    }

    private static DataViewSchema.Column CaptionColumn(DataViewSchema schema, string name)
    {
        var column = schema.GetColumnOrNull(name) ?? throw new InvalidOperationException(
            $"There is no caption column '{name}'; the data has {string.Join(", ", schema.Select(column => $"'{column.Name}'"))}.");
        return column.Type is TextDataViewType or VectorDataViewType { ItemType: TextDataViewType }
            ? column
            : throw new InvalidOperationException($"Caption column '{name}' is of type {column.Type}; it must be text or vectors of text.");
    }

    private static Func<string[]> CaptionGetter(DataViewRow row, DataViewSchema.Column column)
    {
        if (column.Type is TextDataViewType)
        {
            var getter = row.GetGetter<ReadOnlyMemory<char>>(column);
            ReadOnlyMemory<char> caption = default;
            return () =>
            {
                getter(ref caption);
                return [caption.ToString()];
            };
        }
        var vectorGetter = row.GetGetter<VBuffer<ReadOnlyMemory<char>>>(column);
        VBuffer<ReadOnlyMemory<char>> captions = default;
        return () =>
        {
            vectorGetter(ref captions);
            return captions.Length == 0 ? [""] : [.. captions.DenseValues().Select(caption => caption.ToString())];
        };
    }
}
