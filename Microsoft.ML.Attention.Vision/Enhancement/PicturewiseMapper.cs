using Microsoft.ML.Attention.Vision.Pixels;
using Microsoft.ML.Data;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.Attention.Vision;

/// <summary>Enhances the pictures of a schema one by one, each at its own size.</summary>
internal sealed class PicturewiseMapper : IRowMapper
{
    private readonly IHost _host;
    private readonly LowLightEnhancementTransformer _transformer;
    private readonly PictureColumn _pictures;
    private readonly Func<PictureEnhancer> _createEnhancer;
    private readonly DataViewSchema.DetachedColumn[] _columns;

    /// <param name="host">Where messages go.</param>
    /// <param name="transformer">Says which columns are added and what becomes of bad rows.</param>
    /// <param name="pictures">The pictures.</param>
    /// <param name="createEnhancer">Makes what enhances them, for one cursor.</param>
    public PicturewiseMapper(
        IHost host, LowLightEnhancementTransformer transformer, PictureColumn pictures, Func<PictureEnhancer> createEnhancer)
    {
        (_host, _transformer, _pictures, _createEnhancer) = (host, transformer, pictures, createEnhancer);
        IEnumerable<OutputColumn> columns = transformer.GetOutputColumns();
        if (transformer.Scoring.ErrorColumnName is { } error)
            columns = columns.Append(new ErrorColumn(error));
        _columns = [.. columns.Select(column => column.Describe())];
    }

    public DataViewSchema.DetachedColumn[] GetOutputColumns() => _columns;

    public ITransformer GetTransformer() => _transformer;

    public void Save(ModelSaveContext ctx) => _transformer.Save(ctx);

    public Func<int, bool> GetDependencies(Func<int, bool> activeOutput) =>
        _columns.Select((_, i) => activeOutput(i)).Any(active => active) ? column => column == _pictures.Column.Index : _ => false;

    public Delegate?[] CreateGetters(DataViewRow input, Func<int, bool> activeOutput, out Action? disposer)
    {
        var getters = new Delegate?[_columns.Length];
        disposer = null;
        if (!getters.Where((_, i) => activeOutput(i)).Any())
            return getters;
        var row = new EnhancedRow(_transformer, _host.Start("Row"), input, _pictures.CreateGetter(input), _createEnhancer());
        disposer = row.Dispose;
        if (activeOutput(0))
            getters[0] = (ValueGetter<MLImage?>)((ref MLImage? value) => value = row.Enhance());
        if (_columns.Length > 1 && activeOutput(1))
        {
            getters[1] = (ValueGetter<ReadOnlyMemory<char>>)((ref ReadOnlyMemory<char> value) =>
                value = row.Failure?.Message.AsMemory() ?? default);
        }
        return getters;
    }

    /// <summary>The row that a cursor is on.</summary>
    private sealed class EnhancedRow(
        LowLightEnhancementTransformer transformer, IChannel channel, DataViewRow source, Func<Picture> getter, PictureEnhancer enhancer)
        : IDisposable
    {
        private readonly PixelBuffer _pixels = new();
        private Exception? _failure;
        private long? _position;

        /// <summary>Why the picture could not be read; null where it could.</summary>
        public Exception? Failure
        {
            get
            {
                if (_position != source.Position)
                    Read();
                return _failure;
            }
        }

        /// <summary>A new picture; null where there is nothing to enhance.</summary>
        public MLImage? Enhance() => Failure is null ? enhancer.Enhance(_pixels.View) : null;

        public void Dispose()
        {
            enhancer.Dispose();
            _pixels.Dispose();
            channel.Dispose();
        }

        private void Read()
        {
            (_position, _failure) = (null, null);
            try
            {
                getter().Decode(_pixels);
            }
            catch (Exception e) when (e is not (OperationCanceledException or OutOfMemoryException))
            {
                _failure = e;
                transformer.ReportBadRow(source.Position, e, channel);
            }
            _position = source.Position;
        }
    }
}
