using BatchScoring;
using BatchScoring.Input;

namespace Samples.Tests.BatchScoring;

public sealed class ShardTests
{
    [Theory]
    [InlineData("0/1", 0, 1)]
    [InlineData("7/8", 7, 8)]
    public void Parse_ReadsIndexAndCount(string text, int index, int count) =>
        Assert.Equal(new Shard(index, count), Shard.Parse(text, null, _ => null));

    [Theory]
    [InlineData("8/8")]
    [InlineData("-1/8")]
    [InlineData("1")]
    [InlineData("1/0")]
    [InlineData("a/b")]
    [InlineData("auto")]
    public void Parse_RefusesWhatIsNoShard(string text) =>
        Assert.Equal(ExitCode.Usage, Assert.Throws<JobException>(() => Shard.Parse(text, null, _ => null)).ExitCode);

    [Fact]
    public void Auto_ReadsSlurmArrayThatStartsAtAnyNumber() =>
        Assert.Equal(new Shard(2, 4), Shard.Parse("auto", null, Environment(
            ("SLURM_ARRAY_TASK_ID", "7"), ("SLURM_ARRAY_TASK_MIN", "5"), ("SLURM_ARRAY_TASK_COUNT", "4"))));

    [Fact]
    public void Auto_RefusesSlurmArrayWithGaps() =>
        Assert.Throws<JobException>(() => Shard.Parse("auto", null, Environment(
            ("SLURM_ARRAY_TASK_ID", "9"), ("SLURM_ARRAY_TASK_MIN", "1"), ("SLURM_ARRAY_TASK_COUNT", "5"))));

    [Fact]
    public void Auto_ReadsKubernetesIndex() =>
        Assert.Equal(new Shard(3, 10), Shard.Parse("auto", 10, Environment(("JOB_COMPLETION_INDEX", "3"))));

    [Fact]
    public void Auto_AsksForTheCountThatKubernetesDoesNotTell() =>
        Assert.Contains("--shard-count", Assert.Throws<JobException>(
            () => Shard.Parse("auto", null, Environment(("JOB_COMPLETION_INDEX", "3")))).Message);

    [Fact]
    public void WithoutOption_TheEnvironmentIsIgnored() =>
        Assert.Equal(Shard.Whole, Shard.Parse(null, null, Environment(("JOB_COMPLETION_INDEX", "3"))));

    [Theory]
    [InlineData(10, 3)]
    [InlineData(2, 5)]
    [InlineData(0, 2)]
    public void Of_CutsWithoutGapOrOverlap(int paths, int count)
    {
        var all = Enumerable.Range(0, paths).Select(path => $"{path}").ToArray();

        var pieces = Enumerable.Range(0, count).Select(index => new Shard(index, count).Of(all)).ToArray();

        Assert.Equal(all, pieces.SelectMany(piece => piece));
        Assert.True(pieces.Max(piece => piece.Count) - pieces.Min(piece => piece.Count) <= 1);
    }

    private static Func<string, string?> Environment(params (string Name, string Value)[] variables) =>
        name => variables.FirstOrDefault(variable => variable.Name == name).Value;
}
