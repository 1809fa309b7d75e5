using Microsoft.ML;
using Microsoft.ML.Attention;
using Microsoft.ML.Attention.Vision;
using Microsoft.ML.Data;

namespace Vision.Tests;

public sealed class StoryTransformerTests(StoryTransformerTests.Model model) : IClassFixture<StoryTransformerTests.Model>
{
    private static readonly Row[] Rows =
    [
        new("b", "at home #Home", "a boy"),
        new("a", "in the garden", "[Ann] a woman"),
        new("b", "asleep", ""),
        new("a", "[Ann] in the car", ""),
    ];

    private readonly MLContext _context = new(seed: 1);

    public sealed class Model : IDisposable
    {
        public TinyDiffusionFolder Folder { get; } = new();

        public void Dispose() => Folder.Dispose();
    }

    [Fact]
    public void MakesTheStoriesOfATable()
    {
        var data = _context.Data.LoadFromEnumerable(Rows);
        var messages = new List<string>();
        _context.Log += (_, message) => messages.Add(message.Message);
        using var transformer = Estimator(Options()).Fit(data);
        var made = Made(transformer.Transform(data));

        Assert.Equal(["Home", "in the garden", "asleep", "[Ann] in the car"], made.Select(row => row.Caption));
        Assert.All(made, row => Assert.Equal((64, 64), (row.Picture!.Width, row.Picture.Height)));
        Assert.Equal([true, true, false, false], made.Select(row => row.Page is not null));
        Assert.Contains(messages, message => message.Contains("Story of 2 pictures from seed 3"));
        using var generator = new StoryGenerator(_context, model.Folder.Folder, Options().Story);
        using var alone = generator.Generate("a boy", [Rows[0].Line, Rows[2].Line]);
        Assert.Equal(alone.Pictures[1].Image.Pixels.ToArray(), made[2].Picture!.Pixels.ToArray());
        Assert.Equal(alone.Pages[0].Pixels.ToArray(), made[0].Page!.Pixels.ToArray());
    }

    [Fact]
    public void SavesAndLoadsByReferenceToTheFolder()
    {
        var data = _context.Data.LoadFromEnumerable(Rows);
        var options = Options();
        options.Story = options.Story with { Style = StoryStyle.All["Line art"], TokenShares = [0.3f, 0.7f], Scheduler = StoryScheduler.Euler };
        var pipeline = _context.Transforms.CopyColumns("Story2", "Story").Append(Estimator(options));
        var fitted = pipeline.Fit(data);
        var file = Path.GetTempFileName();
        try
        {
            _context.Model.Save(fitted, data.Schema, file);
            Assert.InRange(new FileInfo(file).Length, 0, 10_000);
            var loaded = new MLContext().Model.Load(file, out _, ExecutionProvider.Cpu);
            var transformer = Assert.IsType<StoryTransformer>(((TransformerChain<ITransformer>)loaded).LastTransformer);
            Assert.Equal(ExecutionProvider.Cpu, transformer.Scoring.Session.ExecutionProvider);
            Assert.Equal(options.Story with { TokenShares = transformer.Options.TokenShares }, transformer.Options);
            Assert.Equal(options.Story.TokenShares, transformer.Options.TokenShares);
            Assert.Equal(options.Columns, transformer.Columns);
            foreach (var (first, second) in Made(fitted.Transform(data)).Zip(Made(loaded.Transform(data))))
                Assert.Equal(first.Picture!.Pixels.ToArray(), second.Picture!.Pixels.ToArray());
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public void BadRowsHaveNoPictures()
    {
        Row[] rows = [.. Rows, new("b", "", ""), new("c", "[Cid] runs", "[Cid] a man\n[Cid] a boy"), new("c", "[Cid] rests", "")];
        var data = _context.Data.LoadFromEnumerable(rows);
        var options = Options();
        options.Scoring = options.Scoring with { BadInput = BadInput.ScoreAsMissing, ErrorColumnName = "Error" };
        using var transformer = Estimator(options).Fit(data);
        var view = transformer.Transform(data);
        var made = Made(view);
        Assert.Equal([true, true, true, true, false, false, false], made.Select(row => row.Picture is not null));
        var errors = view.GetColumn<string>("Error").ToArray();
        Assert.Equal("", errors[0]);
        Assert.Equal("column 'Line' is empty", errors[4]);
        Assert.Contains("story 'c': Character [Cid] is described twice", errors[6]);
        Assert.True(transformer.BadRowCount >= 3);

        using var strict = Estimator(Options()).Fit(data);
        var error = Assert.Throws<InvalidDataException>(() => Made(strict.Transform(data)));
        Assert.Contains("row 4: column 'Line' is empty (set BadInput to ScoreAsMissing", error.Message);
    }

    [Fact]
    public void AMissingModelIsNoBadRow()
    {
        var data = _context.Data.LoadFromEnumerable(Rows);
        var options = Options();
        options.Scoring = options.Scoring with { BadInput = BadInput.ScoreAsMissing };
        using var transformer = _context.Transforms.GenerateStory("nowhere", options).Fit(data);
        Assert.Contains("'nowhere'", Assert.Throws<InvalidDataException>(() => Made(transformer.Transform(data))).Message);
        using var moved = transformer.WithModelFolder(model.Folder.Folder);
        Assert.Equal(4, Made(moved.Transform(data)).Length);
    }

    [Fact]
    public void ChecksTheColumns()
    {
        var data = _context.Data.LoadFromEnumerable(Rows);
        var options = Options();
        options.Columns = options.Columns with { Prompt = "Nothing" };
        Assert.Throws<ArgumentOutOfRangeException>(() => Estimator(options).Fit(data));
        Assert.Throws<ArgumentOutOfRangeException>(() => Estimator(options).GetOutputSchema(SchemaShapeOf(data)));
        options.Columns = options.Columns with { Prompt = "Number" };
        Assert.Throws<ArgumentOutOfRangeException>(() => Estimator(options).GetOutputSchema(SchemaShapeOf(data)));
        var shape = Estimator(Options()).GetOutputSchema(SchemaShapeOf(data));
        Assert.Contains(shape, column => column.Name == "Picture");
        using var transformer = Estimator(Options()).Fit(data);
        Assert.Throws<NotSupportedException>(() => transformer.GetRowToRowMapper(data.Schema));
    }

    // Columns that need no pictures open no model.
    [Fact]
    public void OtherColumnsPass()
    {
        var data = _context.Data.LoadFromEnumerable(Rows);
        using var transformer = _context.Transforms.GenerateStory("nowhere", Options()).Fit(data);
        Assert.Equal(Rows.Select(row => row.Line), transformer.Transform(data).GetColumn<string>("Line"));
    }

    private StoryEstimator Estimator(StoryEstimator.Options options) => _context.Transforms.GenerateStory(model.Folder.Folder, options);

    private static StoryEstimator.Options Options() => new()
    {
        Columns = new() { Prompt = "Line", Story = "Story", Characters = "Characters" },
        Story = new() { StepCount = 2, Seed = 3, FreeU = false },
    };

    private static SchemaShape SchemaShapeOf(IDataView data) => SchemaShape.Create(data.Schema);

    private MadeRow[] Made(IDataView view) => [.. _context.Data.CreateEnumerable<MadeRow>(view, reuseRowObject: false)];

    public sealed record Row(string Story, string Line, string Characters)
    {
        public float Number { get; set; } = 1;
    }

    public sealed class MadeRow
    {
        public MLImage? Picture { get; set; }

        public string Caption { get; set; } = "";

        public MLImage? Page { get; set; }
    }
}
